//! What every decoder of bytes from outside must keep: it refuses or reads, never panics, and what it has read comes back the same when it is written and
//! read again.
//!
//! One function for each kind of bytes, which panics where the rule is broken. The property tests beside it call them with what proptest makes, the fuzz
//! targets in `tests/fuzz` with what a fuzzer makes.

use std::{
    ffi::OsString,
    fmt::{Debug, Display},
    fs, io,
    net::SocketAddr,
    path::Path,
    str::FromStr,
};

use batchstep_core::{
    calendar::Zone,
    inventory::{ChangeKind, Filter, sample_from},
    nightly::{Cron, ScheduleName},
};
use batchstep_daemon::settings::{self, Daemon, FileArgs};
use batchstep_identity::{
    Fingerprint, SIGNING_REQUEST_BYTES, SigningRequest, Token, TokenId, Validity, agent_of,
};
use batchstep_proto::{
    domain::{
        AttemptReport, BatchSizes, Block, Device, DeviceKind, DeviceSelector, Dtype, HostFacts,
        Ineligibility, Mode, ModelUpload, Round, Software, SweepSpec, TimeOfDay, Times, Timing,
        Visit, VisitFailure, WorkerFacts,
    },
    frame,
    ids::{AgentId, SweepId},
    inventory::Document,
    model::{ModelDigest, ModelName},
    size::Size,
    wire,
    workload::WorkloadSpec,
};
use batchstep_simulated::Simulation;
use clap::{CommandFactory as _, Parser, Subcommand};
use prost::Message;

/// How many kinds of messages [`message`] knows: the first byte chooses.
pub const MESSAGES: u8 = 19;

/// A message of agent, coordinator, worker or operator; the first byte says which kind is expected.
pub fn message(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else {
        return;
    };
    match kind % MESSAGES {
        0 => converted::<wire::Software, Software>(body),
        1 => converted::<wire::HostFacts, HostFacts>(body),
        2 => converted::<wire::Ineligibility, Ineligibility>(body),
        3 => converted::<wire::Device, Device>(body),
        4 => converted::<wire::WorkerFacts, WorkerFacts>(body),
        5 => converted::<wire::Visit, Visit>(body),
        6 => converted::<wire::Timing, Timing>(body),
        7 => converted::<wire::Round, Round>(body),
        8 => converted::<wire::Block, Block>(body),
        9 => converted::<wire::VisitFailure, VisitFailure>(body),
        10 => converted::<wire::AttemptReport, AttemptReport>(body),
        11 => converted::<wire::SweepSpec, SweepSpec>(body),
        12 => converted::<wire::DeviceSelector, DeviceSelector>(body),
        13 => {
            if let Ok(upload) = wire::ModelUpload::decode(body) {
                let _ = ModelUpload::try_from(upload);
            }
        }
        14 => {
            if let Ok(hello) = wire::AgentHello::decode(body) {
                let _ = Device::list(hello.devices);
                let _ = hello.host.map(HostFacts::try_from);
            }
        }
        15 => encoded::<wire::AgentMessage>(body),
        16 => encoded::<wire::CoordinatorMessage>(body),
        17 => encoded::<wire::FromWorker>(body),
        _ => encoded::<wire::ToWorker>(body),
    }
}

/// A message that becomes a value of the domain.
fn converted<Wire, Checked>(bytes: &[u8])
where
    Wire: Message + Default + From<Checked>,
    Checked: TryFrom<Wire, Error: Debug> + Clone + PartialEq + Debug,
{
    let Ok(message) = Wire::decode(bytes) else {
        return;
    };
    let Ok(value) = Checked::try_from(message) else {
        return;
    };
    let again = Wire::decode(Wire::from(value.clone()).encode_to_vec().as_slice())
        .expect("what was encoded here is decoded");
    let again = Checked::try_from(again).expect("what was taken once is taken again");
    assert_eq!(again, value);
}

/// A message that is used as it is.
fn encoded<Wire: Message + Default>(bytes: &[u8]) {
    if let Ok(message) = Wire::decode(bytes) {
        let bytes = message.encode_to_vec();
        let again = Wire::decode(bytes.as_slice()).expect("what was encoded here is decoded");
        assert_eq!(again.encode_to_vec(), bytes);
    }
}

/// Frames of the worker protocol: both readers of a stream see the same messages, however the stream is cut. The first byte says how.
pub fn frames(bytes: &[u8]) {
    let Some((piece, stream)) = bytes.split_first() else {
        return;
    };
    let mut whole = Vec::new();
    let mut reader = stream;
    while let Ok(Some(message)) = frame::read::<wire::FromWorker>(&mut reader) {
        whole.push(message.encode_to_vec());
    }
    let mut pieces = Vec::new();
    let mut decoder = frame::Decoder::default();
    'stream: for piece in stream.chunks(usize::from(*piece).max(1)) {
        decoder.extend(piece);
        loop {
            match decoder.next_message::<wire::FromWorker>() {
                Ok(Some(message)) => pieces.push(message.encode_to_vec()),
                Ok(None) => break,
                Err(_) => break 'stream,
            }
        }
    }
    assert_eq!(pieces, whole);
}

/// Text that people write in flags and files: batch sizes, workloads, sizes, names, digests, ids, filters, times.
pub fn text(text: &str) {
    printed::<BatchSizes>(text);
    printed::<WorkloadSpec>(text);
    printed::<ModelDigest>(text);
    printed::<ModelName>(text);
    printed::<AgentId>(text);
    printed::<SweepId>(text);
    printed::<Fingerprint>(text);
    printed::<TokenId>(text);
    printed::<Dtype>(text);
    printed::<Mode>(text);
    printed::<DeviceKind>(text);
    printed::<TimeOfDay>(text);
    printed::<Zone>(text);
    printed::<Cron>(text);
    printed::<ScheduleName>(text);
    if let Ok(token) = text.parse::<Token>() {
        // One form is read and one is written, so that no token has two digests.
        assert_eq!(token.reveal(), text.trim());
    }
    let _ = text.parse::<Size>();
    let _ = text.parse::<Times>();
    let _ = text.parse::<ChangeKind>();
    let _ = Filter::parse(text);
    let _ = ModelName::of_file(Path::new(text));
}

/// Text that prints as what it is read from.
fn printed<T: FromStr<Err: Debug> + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let again = value.to_string();
        let parsed = again.parse::<T>().expect("what was printed is read");
        assert_eq!(parsed, value, "{again}");
    }
}

/// The file of simulated devices, without recordings. What it describes can be built.
pub fn devices_file(text: &str) {
    let absent = |_: &Path| Err(io::ErrorKind::NotFound.into());
    if let Ok(simulation) = Simulation::parse(Path::new("devices.toml"), text, absent) {
        for device in &simulation.devices {
            let _ = device.machine();
        }
    }
}

/// A command line with a setting of every kind that the daemons have.
#[derive(Debug, Parser)]
#[command(name = "daemon")]
struct CommandLine {
    #[command(subcommand)]
    command: DaemonCommand,
}

#[derive(Debug, Subcommand)]
enum DaemonCommand {
    Run {
        #[command(flatten)]
        _file: FileArgs,
        #[arg(long)]
        name: Option<String>,
        #[arg(long, default_value_t = 7)]
        count: u32,
        #[arg(long, default_value = "127.0.0.1:1")]
        listen: SocketAddr,
        #[arg(long, value_delimiter = ',')]
        names: Vec<String>,
        #[arg(long, action = clap::ArgAction::Set, default_value_t = true)]
        share: bool,
    },
}

const DAEMON: Daemon = Daemon {
    subcommand: "run",
    defaults: &[],
};

/// A daemon's configuration file; true when it was read. What is in force because of it can be printed as a file that says the same.
pub fn settings_file(text: &str) -> bool {
    let Some(settings) = settings_of(text) else {
        return false;
    };
    let printed = settings.to_string();
    let again = settings_of(&printed).expect("what was printed here is read");
    assert!(again.values().eq(settings.values()), "{printed}");
    true
}

fn settings_of(text: &str) -> Option<settings::Settings> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), text).expect("a temporary file");
    let arguments = ["daemon", "run", "--config"].map(OsString::from);
    let arguments = arguments.into_iter().chain([file.path().into()]);
    let read = settings::parse::<CommandLine>(CommandLine::command(), DAEMON, arguments);
    read.ok().map(|(_, settings)| settings)
}

/// An inventory, and a sample of one.
pub fn inventory(bytes: &[u8]) {
    let _ = sample_from(bytes);
    if let Ok(document) = Document::from_bytes(bytes) {
        let written = document.to_bytes();
        let again = Document::from_bytes(&written).expect("what was written here is read");
        assert_eq!(again, document);
    }
}

/// A certificate that somebody presents.
pub fn certificate(bytes: &[u8]) {
    let _ = agent_of(bytes);
    if let Ok(validity) = Validity::of(bytes) {
        let _ = validity.half_life();
    }
}

/// A request for a certificate; true when it was read.
pub fn signing_request(bytes: &[u8]) -> bool {
    let read = SigningRequest::read(bytes).is_ok();
    assert!(!read || bytes.len() <= SIGNING_REQUEST_BYTES);
    read
}
