//! Real processes and real faults: a coordinator and three agents that measure while processes are killed and stopped, connections break and disks
//! fill. Afterwards the table is the one of an undisturbed run, and the books balance: nothing is lost, nothing counts twice.
//!
//! `fleet` starts and stops the processes, `network` and `disk` are what stands between them, `books` checks what is left behind, `fault` is the
//! vocabulary of random schedules. What is random comes from a seed that is printed: `BATCHSTEP_FAULT_SEED` repeats it.

mod at_work;
mod bad_input;
mod books;
mod cut_off;
mod disk;
mod fault;
mod fleet;
mod full_disk;
mod killed;
mod network;
mod quarantine;
mod random;
mod stopped;
