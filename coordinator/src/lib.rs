//! The batchstep coordinator and its command line.
