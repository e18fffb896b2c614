//! Runs a coordinator on a listener until it is told to stop.
