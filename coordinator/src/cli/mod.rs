//! The command line of `batchstep`.
