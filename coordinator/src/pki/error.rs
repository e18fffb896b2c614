//! What can go wrong with identities, each with what to do about it.

use std::{io, path::PathBuf};

use batchstep_proto::ids::AgentId;
use jiff::Timestamp;

use crate::store::StoreError;

/// It cannot be done, or is refused.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file of the authority cannot be read or written.
    #[error("cannot use {path}, which belongs to the coordinator's certificate authority")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The authority's file holds something else.
    #[error(
        "{path} does not hold the coordinator's certificate authority; restore it from a backup, or move it away to start with a new one, after which every agent must be enrolled again"
    )]
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// A certificate cannot be made.
    #[error("cannot issue a certificate")]
    Issue(#[source] rcgen::Error),
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// A time that no certificate can carry.
    #[error("{0} cannot be the end of a certificate or a token")]
    Time(Timestamp),
    /// The system gives no random numbers.
    #[error("the system has no random numbers to give")]
    NoRandomness,
    /// A name that cannot be in a certificate.
    #[error("{0:?} is neither a host name nor an address")]
    Name(String),
    /// The request for a certificate is malformed, or its signature does not fit.
    #[error("field `signing_request`: {0}")]
    SigningRequest(String),
    /// The coordinator serves plain text.
    #[error(
        "this coordinator serves plain text on loopback, where nobody needs a token; start it with --tls, or with --listen on an address that other hosts reach"
    )]
    NoAuthority,
    /// Nobody is enrolled where nobody is asked who they are.
    #[error(
        "agent {0} is not enrolled: this coordinator serves plain text on loopback, where nobody needs an identity and none can be revoked; `batchstep agents remove` takes an agent off the list once it is gone"
    )]
    NotEnrolledHere(AgentId),
    /// Unknown, or with another secret: not told apart.
    #[error(
        "the coordinator does not know this token; make one with `batchstep token create` on the coordinator that is dialled"
    )]
    UnknownToken,
    /// It is good for something else.
    #[error("this is {0} token, which is not good for that")]
    WrongKind(&'static str),
    /// Its time is over.
    #[error("the token ended at {0}; make a new one with `batchstep token create`")]
    ExpiredToken(Timestamp),
    /// It was taken back.
    #[error("the token was revoked; ask an operator for another one")]
    RevokedToken,
    /// It was used as often as it may be.
    #[error(
        "the token was used already, as often as it may be; make a new one with `batchstep token create`"
    )]
    UsedToken,
    /// The agent was revoked.
    #[error(
        "this agent was revoked{0}; if its host shall measure again, make a token with `batchstep token create`, and enrol a new agent there with `batchstep-agent enroll` and a new state directory, or with --replace"
    )]
    RevokedAgent(String),
    /// Its certificate is the authority's, but the store does not know it.
    #[error(
        "the coordinator has no record of this agent, perhaps because its database was restored; enrol it again: make a token with `batchstep token create`, and use it with `batchstep-agent enroll --replace`"
    )]
    UnknownAgent,
    /// Another agent reports for the host.
    #[error(
        "the host with machine id {machine_id} is that of agent {holder} ({hostname}), and agent {agent} cannot report for it; if {holder} is no more, `batchstep agents remove {holder} --replaced` gives the host up; if it is another host, give one of them a machine id of its own with `systemd-machine-id-setup`"
    )]
    AnothersHost {
        /// Which host.
        machine_id: String,
        /// Who wants it.
        agent: AgentId,
        /// Who has it.
        holder: AgentId,
        /// What that one called its host when it was enrolled.
        hostname: String,
    },
    /// No such token or agent.
    #[error("there is no {what} {id}; {list} shows them")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// By which id.
        id: String,
        /// What lists them.
        list: &'static str,
    },
    /// A field of a request breaks a rule.
    #[error("field `{field}`: {problem}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// How.
        problem: String,
    },
    /// It cannot be recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}
