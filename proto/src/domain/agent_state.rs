//! The words for an agent's state: of the metrics, the health page and the command line, which must not differ. Not a vocabulary of its own, because nobody
//! types one and the state is never read from the wire into a domain type.

use crate::wire::AgentState;

impl AgentState {
    /// As printed, in JSON and as a label of metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unspecified => "unknown",
            Self::Online => "online",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Unreachable => "unreachable",
            Self::Lost => "lost",
            Self::Cordoned => "cordoned",
        }
    }
}
