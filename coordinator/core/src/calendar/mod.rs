//! The clocks on the wall: time zones with their daylight saving, and daily windows. Used by `fleet` and `nightly`; the moment is always handed in, and the time
//! zone database is the one that is compiled in or the host's.

mod window;
mod zone;

pub use window::{Look, UnknownWindowZone, look, open_between};
pub use zone::{Jump, Moment, UnknownZone, Zone};
