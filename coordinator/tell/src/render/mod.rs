//! Digests as people and programs read them: plain text for mail, Markdown for a pipeline's summary, JSON for webhooks, blocks for Slack. Pure.
//!
//! Names of hosts, models and workloads come from machines that batchstep does not own: every form keeps them from meaning more than a name.

mod markdown;
mod slack;
mod text;
mod webhook;
mod words;

pub use markdown::markdown;
pub use slack::slack;
pub use text::{body, subject};
pub use webhook::webhook;
pub use words::{command_line, headline};

#[cfg(test)]
pub(crate) mod examples;
