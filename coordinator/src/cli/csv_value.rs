//! Single values of a CSV of timings: what a batch size and a time may be, and what to say of anything else. Called by `csv_input`, which adds the place.

use batchstep_proto::limits;

/// A whole number of samples within the limits; otherwise what is wrong with it.
pub(super) fn batch_size(text: &str) -> Result<u32, String> {
    let shown: String = text.chars().take(40).collect();
    let Ok(number) = text.parse::<f64>() else {
        return Err(format!("{shown:?} is not a number"));
    };
    if number.is_nan() {
        return Err(format!("{shown:?} is not a number"));
    }
    if number.fract() != 0.0 {
        return Err(format!("{shown} is not a whole number of samples"));
    }
    if number < 1.0 {
        return Err(format!("{shown} is below 1, the smallest batch size"));
    }
    if number > f64::from(limits::BATCH_SIZE) {
        return Err(format!(
            "{shown} is above the largest batch size allowed, {}",
            limits::BATCH_SIZE
        ));
    }
    Ok(number as u32)
}

/// A finite time above zero; otherwise what is wrong with it.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    let shown: String = text.chars().take(40).collect();
    match text.parse::<f64>() {
        Err(_) => Err(format!(
            "{shown:?} is not a number; write seconds per iteration such as 0.0123"
        )),
        Ok(value) if !value.is_finite() => Err(format!(
            "{shown} is not a time; leave out rows without a timing"
        )),
        Ok(value) if value <= 0.0 => Err(format!(
            "{shown} is not above zero; seconds per iteration are"
        )),
        Ok(value) => Ok(value),
    }
}
