//! One entry of the history: what became different on a host or a device. Made by `observe`, kept by the store, shown to people.

use std::{fmt, str::FromStr};

use batchstep_proto::inventory::{Absent, Reading, Value};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// A host reported for the first time.
    HostAppeared,
    /// A field has another value.
    Changed,
    /// A device was seen for the first time.
    Appeared,
    /// A device is not there any more.
    Vanished,
    /// A device that had vanished or was lost is back.
    Returned,
    /// A device is in another host than before.
    Moved,
    /// A second host reports a device that another connected one has.
    Duplicate,
    /// A device does not answer any more: every field that is gone with it is this one change.
    Lost,
    /// NVML does not start, or has stopped.
    NvmlFailed,
    /// A call of NVML does not come back.
    NvmlHung,
    /// The host has no NVIDIA driver any more.
    NvmlNoDriver,
    /// NVML answers again.
    NvmlRecovered,
}

impl ChangeKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::HostAppeared,
        Self::Changed,
        Self::Appeared,
        Self::Vanished,
        Self::Returned,
        Self::Moved,
        Self::Duplicate,
        Self::Lost,
        Self::NvmlFailed,
        Self::NvmlHung,
        Self::NvmlNoDriver,
        Self::NvmlRecovered,
    ];

    /// The stable word for programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::HostAppeared => "host_appeared",
            Self::Changed => "changed",
            Self::Appeared => "appeared",
            Self::Vanished => "vanished",
            Self::Returned => "returned",
            Self::Moved => "moved",
            Self::Duplicate => "duplicate",
            Self::Lost => "lost",
            Self::NvmlFailed => "nvml_failed",
            Self::NvmlHung => "nvml_hung",
            Self::NvmlNoDriver => "nvml_no_driver",
            Self::NvmlRecovered => "nvml_recovered",
        }
    }

    /// What it means, for the documentation.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::HostAppeared => "a host reported for the first time",
            Self::Changed => {
                "`field` of the host, or of the device `uuid`, was `before` and is `after`"
            }
            Self::Appeared => "a GPU or MIG instance was seen for the first time",
            Self::Vanished => "it is not there any more, by a host whose NVML works",
            Self::Returned => "it had vanished or was lost, and is back on the same host",
            Self::Moved => "it is on another host than before: `previous_hostname`",
            Self::Duplicate => {
                "a second host reports a UUID that the connected host `previous_hostname` has, too; it stays where it was"
            }
            Self::Lost => "it does not answer any more: one entry for all fields that went with it",
            Self::NvmlFailed => "NVML does not start, or has stopped; the GPUs are as they were",
            Self::NvmlHung => "a call of NVML does not come back; the GPUs are as they were",
            Self::NvmlNoDriver => "the NVIDIA driver is gone",
            Self::NvmlRecovered => "NVML answers again",
        }
    }
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A word that is no kind of change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of change")]
pub struct UnknownKind(String);

impl FromStr for ChangeKind {
    type Err = UnknownKind;

    fn from_str(word: &str) -> Result<Self, UnknownKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.word() == word)
            .ok_or_else(|| UnknownKind(word.to_owned()))
    }
}

/// One side of a change: a value, or why there is none.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// It was this.
    Value(Value),
    /// It was absent.
    Absent(Absent),
}

impl From<&Reading<Value>> for Told {
    fn from(reading: &Reading<Value>) -> Self {
        match reading {
            Ok(value) => Self::Value(value.clone()),
            Err(reason) => Self::Absent(*reason),
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Absent(reason) => write!(f, "absent ({reason})"),
        }
    }
}

/// One entry of the history.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// On which host: its machine id.
    pub machine_id: String,
    /// What that host was called then.
    pub hostname: String,
    /// The device; `None`: the host itself.
    pub uuid: Option<String>,
    /// The device's model.
    pub model: Option<String>,
    /// With [`ChangeKind::Changed`]: the field. Text, because a newer version may have written it.
    pub field: Option<String>,
    /// What it was.
    pub before: Option<Told>,
    /// What it is.
    pub after: Option<Told>,
    /// Where the device was, or is as well: machine id and hostname.
    pub previous_host: Option<(String, String)>,
}
