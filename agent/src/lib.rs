//! The batchstep agent: one per GPU host, runs assigned rounds in worker processes. Does not link libtorch.
