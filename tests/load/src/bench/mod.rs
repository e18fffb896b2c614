//! What the scenarios measure with: the coordinator's process, the fleet's processes, the disk, an operator's calls, and how figures are printed.

pub mod coordinator;
pub mod disk;
pub mod fleet;
pub mod limits;
pub mod operator;
pub mod page;
pub mod quantiles;
