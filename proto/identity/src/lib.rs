//! What both ends of a connection agree on about identity: how tokens are written, how a certificate says whose it is, and how a client finds out that
//! it speaks to its coordinator.
//!
//! The agent and the command line dial through [`TlsConnector`]; the coordinator uses the same [`Token`]s and names. Nothing here issues a certificate or
//! decides what somebody may do.

mod certificate;
mod connect;
mod fingerprint;
mod hex;
mod place;
mod signing_request;
mod subject;
mod token;
mod verify;

pub use certificate::{CertificateError, Validity};
pub use connect::{ConnectError, TlsConnector};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use place::is_this_host;
pub use signing_request::{SIGNING_REQUEST_BYTES, SigningRequest, SigningRequestError};
pub use subject::{COORDINATOR_NAME, agent_of, agent_uri};
pub use token::{Secret, Token, TokenError, TokenId, TokenKind};
pub use verify::client_config;
