//! Scenarios and properties of the fleet.
