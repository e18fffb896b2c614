//! What can go wrong with models, each with what to do about it.

use std::{io, path::PathBuf};

use batchstep_proto::model::{ModelDigest, ModelName};

/// A model cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// It is there.
    #[error("the model {digest} is there already")]
    Complete {
        /// Which.
        digest: ModelDigest,
    },
    /// Another upload of the same content is under way.
    #[error("somebody else uploads the model {digest} at this moment; try again soon")]
    Busy {
        /// Which.
        digest: ModelDigest,
    },
    /// Above the limit for one.
    #[error(
        "{name} has {size} bytes, more than the {limit} that this coordinator takes for one model (--max-model-size)"
    )]
    TooLarge {
        /// What it is called.
        name: ModelName,
        /// Its bytes.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// Above the limit for all.
    #[error(
        "{name} has {size} bytes, and the models that are here leave {left} of the {limit} that this coordinator keeps in all; remove some \
         (`batchstep model list`, `batchstep model remove`), or give it more room (--max-models-size)"
    )]
    NoRoom {
        /// What it is called.
        name: ModelName,
        /// Its bytes.
        size: u64,
        /// Bytes that are left.
        left: u64,
        /// The limit.
        limit: u64,
    },
    /// It does not go on where the last upload ended.
    #[error("field `begin.offset`: {offset} bytes are said to be here, but {received} are")]
    WrongOffset {
        /// As announced.
        offset: u64,
        /// What is there.
        received: u64,
    },
    /// Less content than announced.
    #[error(
        "{received} of the {size} bytes announced of {name} came; an upload can go on from there. Did the file change meanwhile?"
    )]
    Incomplete {
        /// What it is called.
        name: ModelName,
        /// Bytes that are here.
        received: u64,
        /// As announced.
        size: u64,
    },
    /// More content than announced.
    #[error(
        "more than the {size} bytes announced of {name} came; nothing was kept. Did the file change meanwhile?"
    )]
    TooLong {
        /// What it is called.
        name: ModelName,
        /// As announced.
        size: u64,
    },
    /// Other content than announced.
    #[error(
        "the content of {name} has the digest {found}, not {announced} as announced; nothing was kept. Did the file change meanwhile?"
    )]
    WrongDigest {
        /// What it is called.
        name: ModelName,
        /// As announced.
        announced: ModelDigest,
        /// What came.
        found: ModelDigest,
    },
    /// The disk refuses: full, broken, or not ours any more.
    #[error("the coordinator cannot {doing} {path}")]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}
