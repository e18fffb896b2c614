//! The agent at its real boundaries: its own process, real sockets to a coordinator, real worker processes. No libtorch needed.

mod command_line;
mod coordinator;
mod faults;
mod host;
mod rounds;
