//! Tells people about alarms: messages, how they read, and how they are delivered by webhook, Slack and e-mail.
//!
//! It knows neither judge nor store nor wire. The coordinator makes [`Message`]s, asks an [`Outbox`] for the rows to store with them, and gives what is due to
//! [`deliver`]. Secrets (passwords, and addresses that are passwords) come in as [`Secret`] and [`Address`] and are shown by nothing here, errors included.

mod address;
mod channel;
mod deliver;
mod digest;
mod failure;
pub mod message;
pub mod metrics;
pub mod outbox;
mod public_url;
pub mod render;
pub mod retry;
mod secret;
mod trust;

pub use address::{Address, AddressError};
pub use channel::{
    Channel, ChannelName, Channels, Config, ConfigError, Limits, MailConfig, Security,
};
pub use deliver::{Receipt, deliver};
pub use digest::{Digest, digest_key};
pub use failure::{Cause, Failure, Persistence, Reply, Stage};
pub use message::Message;
pub use outbox::Outbox;
pub use public_url::{PublicUrl, PublicUrlError};
pub use secret::{Secret, SecretError};
pub use trust::TrustError;
