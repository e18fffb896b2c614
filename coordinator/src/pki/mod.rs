//! Who may speak to the coordinator off loopback: its own certificate authority, tokens, revocation, and the connections that carry an identity.
//!
//! `serve` sets it up; `rpc` asks [`Identities`] to enrol and to revoke, and [`Caller`] whose request it has. Secrets and keys never reach a log, an
//! error or the store.

mod acceptor;
mod access;
mod answer;
mod authority;
mod connection;
mod error;
mod files;
mod identities;
mod server_certificate;

pub(crate) use acceptor::accept;
pub(crate) use access::{Caller, admit};
pub use authority::{Authority, IssuedCertificate, check_names};
pub use connection::Peer;
pub use error::PkiError;
pub use files::{LOCAL_OPERATOR, LocalOperator, PKI_DIRECTORY};
pub(crate) use identities::{Foreign, Removal, TurnedAway};
pub use identities::{Identities, NewToken};
pub(crate) use server_certificate::ServerCertificate;
