//! Small ways of saying things in findings.

use jiff::SignedDuration;

/// A length of time for people, in its largest unit.
pub(super) fn since(age: SignedDuration) -> String {
    let seconds = age.as_secs().max(0);
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
