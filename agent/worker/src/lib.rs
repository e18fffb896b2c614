//! The batchstep worker: training loops in libtorch and their timing.
