//! Scheduled sweeps: which night begins when, what each series had in it, what the judge says of that, and what becomes of alarms.
//!
//! [`Nightly`] is the task and what the service asks of it. Where a night is, is in the store and nowhere else: every step is written before the next one, and done
//! again harmlessly after a crash. When nights run is decided in `batchstep_core::nightly`, what they say in `batchstep_judge`; this module carries things between
//! them, the fleet and the store:
//!
//! - `beginning` begins nights, `keeper` brings them forward, and `presence` knows for whom they wait; `assembling` puts a night together, and `judging` writes what is
//!   said of it;
//! - `observe` and `device_settings` make of what was measured what the judge is told, `about` names series, `alarms` turns verdicts into alarms;
//! - `letters` makes messages of alarms, and `telling` delivers them; `reproduce` writes the command that measures again what an alarm is about;
//! - `people` does what people ask for, `views` answers their questions with the documents of `document`, in the `words` that messages use, too.

mod about;
pub mod alarms;
mod assembling;
mod beginning;
mod clock;
mod comparing;
mod device_settings;
pub mod document;
mod figures;
mod history;
mod judging;
mod keeper;
mod kept;
mod letters;
mod observe;
mod people;
mod presence;
mod reproduce;
mod telling;
mod views;
mod words;

use batchstep_judge::Policy;
use batchstep_tell::{Channels, PublicUrl};

pub use about::About;
pub use clock::Clock;
pub use comparing::{CompareDocument, CompareRow, Measured, Side, SideError};
pub use figures::Figures;
pub use history::HistoryWanted;
pub use keeper::Nightly;
pub use people::{Answer, NightlyError, Person};
pub use reproduce::reproduce;
pub use telling::{Outcomes, Teller};
pub use views::{NIGHT_STATES, WhichNight};
pub use words::{kind, reason, sentence, setting, shift, step};

/// How nights are kept and judged.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The judge's thresholds.
    pub policy: Policy,
    /// What time it is.
    pub clock: Clock,
    /// Who is told.
    pub channels: Channels,
    /// Where people find pages about nights; for links in messages.
    pub public_url: Option<PublicUrl>,
    /// Nights neither begin nor go on by themselves; people are answered all the same.
    pub is_unattended: bool,
}
