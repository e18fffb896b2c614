//! Upper bounds on everything that comes from outside, in one place so that both ends agree.

/// Longest string in any message, in bytes; names and identifiers are far shorter.
pub const STRING_BYTES: usize = 4096;
/// Longest error text kept from a worker, in bytes; gRPC trailers carry 16 KiB at most.
pub const ERROR_BYTES: usize = 2048;
/// Devices one agent may offer.
pub const DEVICES_PER_AGENT: usize = 256;
/// Processes on one GPU that are told.
pub const PROCESSES_PER_GPU: usize = 1024;
/// Problems, and reasons against trials, that are told of one device.
pub const PROBLEMS: usize = 64;
/// Attempts one agent may hold at a hello.
pub const HELD_ATTEMPTS: usize = 4096;
/// Visits in one round, reference visits included.
pub const VISITS_PER_ROUND: usize = 8192;
/// Batch sizes in one sweep.
pub const BATCH_SIZES_PER_SWEEP: usize = 4096;
/// Largest batch size.
pub const BATCH_SIZE: u32 = 1 << 20;
/// Workloads in one sweep.
pub const WORKLOADS_PER_SWEEP: usize = 64;
/// Threads of a CPU trial.
pub const THREADS: u32 = 4096;
/// Largest gRPC message, in bytes, both ways.
pub const MESSAGE_BYTES: usize = 4 << 20;
/// Longest piece of a model's content in one message, in bytes: below [`MESSAGE_BYTES`] with room for the rest of the message.
pub const MODEL_CHUNK_BYTES: usize = 1 << 20;
/// Longest name of a model, in bytes: as long as a file's name.
pub const MODEL_NAME_BYTES: usize = 255;
/// Models in one answer to a list.
pub const MODELS_LISTED: usize = 4096;
/// Largest frame between agent and worker, in bytes.
pub const FRAME_BYTES: usize = 1 << 20;
