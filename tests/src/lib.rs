//! End-to-end tests, their harness and the benchmarks.
