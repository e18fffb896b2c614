//! The fleet against scripted plans and simulated agents: named scenarios, and random interleavings of everything that can happen.

mod absent;
mod agent;
mod departures;
mod devices;
mod fixtures;
mod ledger;
mod prefetch;
mod properties;
mod restarts;
mod restrictions;
mod scenarios;
mod scheduling;
mod sessions;
mod shared;
mod software;
mod unread;
mod validation;
mod world;
