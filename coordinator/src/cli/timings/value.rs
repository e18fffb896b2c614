//! Single values of a file of timings: what a batch size, a time and a round may be, and what to say of anything else. Called by `rows`, which
//! adds the place.

use batchstep_proto::limits;

use super::{decimal::Decimals, unit::Unit};

/// Characters of a value that an error shows.
const SHOWN: usize = 40;

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

fn number(text: &str, decimals: &mut Decimals, line: u64) -> Result<Option<f64>, String> {
    if text.len() > 4 * SHOWN {
        return Ok(None);
    }
    decimals.number(text, line)
}

/// A whole number of samples within the limits; otherwise what is wrong with it.
pub(super) fn batch_size(text: &str, decimals: &mut Decimals, line: u64) -> Result<u32, String> {
    let shown = shown(text);
    let Some(number) = number(text, decimals, line)?.filter(|number| !number.is_nan()) else {
        return Err(format!("{shown:?} is not a number"));
    };
    if number.fract() != 0.0 {
        return Err(format!(
            "{shown} is not a whole number of samples; is another column meant? --batch-size-column says which"
        ));
    }
    if number < 1.0 {
        return Err(format!("{shown} is below 1, the smallest batch size"));
    }
    if number > f64::from(limits::BATCH_SIZE) {
        return Err(format!(
            "{shown} is above the largest batch size allowed, {}; is another column meant? --batch-size-column says which",
            limits::BATCH_SIZE
        ));
    }
    Ok(number as u32)
}

/// Seconds per iteration, finite and above zero, from a value in `unit`; otherwise what is wrong with it.
pub(super) fn seconds(
    text: &str,
    unit: Unit,
    batch_size: u32,
    decimals: &mut Decimals,
    line: u64,
) -> Result<f64, String> {
    let shown = shown(text);
    let words = unit.words();
    match number(text, decimals, line)? {
        None => Err(format!(
            "{shown:?} is not a number; write {words} such as 0.0123"
        )),
        Some(value) if !value.is_finite() => Err(format!(
            "{shown} is not a time; leave out rows without a timing"
        )),
        Some(value) if value <= 0.0 => Err(format!("{shown} is not above zero; {words} are")),
        Some(value) => {
            let seconds = unit.seconds(value, batch_size);
            if seconds.is_finite() && seconds > 0.0 {
                Ok(seconds)
            } else {
                Err(format!("{shown} {words} is out of all range"))
            }
        }
    }
}

/// A round, counted from any number; otherwise what is wrong with it.
pub(super) fn round(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .or_else(|| {
            // Some programs write whole numbers as 3.0.
            let number: f64 = text.parse().ok()?;
            let whole = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
            whole.then_some(number as u32)
        })
        .ok_or_else(|| format!("{:?} is not a round: write 0, 1, 2, ..", shown(text)))
}
