//! Panics of simulated software: tokio keeps those of spawned tasks to itself, and the rules forbid every one of them.

use std::{
    panic,
    sync::{Mutex, PoisonError},
};

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// From here on panics are kept, not printed.
pub fn keep() {
    panic::set_hook(Box::new(|panic| {
        let mut panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
        panics.push(panic.to_string());
    }));
}

/// Those since the last call.
pub fn take() -> Vec<String> {
    std::mem::take(&mut *PANICS.lock().unwrap_or_else(PoisonError::into_inner))
}
