//! What the coordinator keeps on disk.
