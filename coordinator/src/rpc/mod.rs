//! The gRPC services: what comes from outside is checked here and becomes an input or a question; what goes out is put on the wire.
//!
//! Served by [`serve`](crate::serve). A service decides nothing about the fleet.

mod agent;
mod enrollment;
mod export;
mod hello;
mod identity;
mod inventory;
mod models;
mod nightly;
mod operator;
mod restrictions;
mod sweeps;
mod table;
mod watch;

use std::str::FromStr;

use batchstep_proto::domain::InvalidField;
use tonic::Status;

pub use agent::{Agents, report_key};
pub use enrollment::Enrollment;
pub use identity::IdentityKeeper;
pub use nightly::Nights;
pub use operator::Operators;

use crate::store::StoreError;

/// The status for a message that breaks a rule; names the field.
fn invalid(error: InvalidField) -> Status {
    Status::invalid_argument(error.to_string())
}

/// The status for a store that failed; the cause is logged, not told.
fn store_failed(error: StoreError) -> Status {
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    tracing::error!(%error, cause, "A question could not be answered from the store.");
    Status::unavailable("the coordinator cannot read its store at the moment; try again later")
}

/// An id from outside.
fn id<T: FromStr<Err: ToString>>(field: &'static str, text: &str) -> Result<T, Status> {
    text.parse()
        .map_err(|error: T::Err| invalid(InvalidField::new(field, error.to_string())))
}

/// Text from a person that is passed on: bounded, or the call is refused.
fn reason(field: &'static str, text: String) -> Result<String, Status> {
    const REASON_BYTES: usize = batchstep_proto::limits::ERROR_BYTES;
    if text.len() > REASON_BYTES {
        let problem = format!("{} bytes, more than the {REASON_BYTES} allowed", text.len());
        return Err(invalid(InvalidField::new(field, problem)));
    }
    if text
        .chars()
        .any(|c| c.is_control() && c != '\n' && c != '\t')
    {
        return Err(invalid(InvalidField::new(
            field,
            "contains control characters",
        )));
    }
    Ok(text)
}
