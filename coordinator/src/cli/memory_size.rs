//! Amounts of memory as people write them: `16GiB`, `512MiB`, `24GB`, or bytes. Called by `advise`.

/// Bytes of a text. Units are spelled out, since "16G" means two things.
///
/// # Errors
/// Says what to write instead.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, f64); 9] = [
        ("kib", 1024.0),
        ("mib", 1_048_576.0),
        ("gib", 1_073_741_824.0),
        ("tib", 1_099_511_627_776.0),
        ("kb", 1e3),
        ("mb", 1e6),
        ("gb", 1e9),
        ("tb", 1e12),
        ("b", 1.0),
    ];
    const HINT: &str = "write an amount such as 16GiB, 512MiB, 24GB or a number of bytes";
    let lower = text.trim().to_lowercase();
    let (number, unit) = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((lower.strip_suffix(unit)?, *factor)))
        .unwrap_or((&lower, 1.0));
    if number.ends_with(['k', 'm', 'g', 't']) {
        return Err(format!(
            "{text:?} may mean units of 1000 or of 1024; {HINT}"
        ));
    }
    match number.trim_end().parse::<f64>() {
        Ok(value) if value > 0.0 && value * unit < 2.0_f64.powi(63) && value * unit >= 1.0 => {
            Ok((value * unit) as u64)
        }
        Ok(_) => Err(format!("{text:?} is no amount of memory; {HINT}")),
        Err(_) => Err(format!("{text:?} is no number of bytes; {HINT}")),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn units_are_binary_or_decimal_as_written() {
        for (text, bytes) in [
            ("16GiB", 16 << 30),
            ("1.5 gib", 3 << 29),
            ("512MiB", 512 << 20),
            ("24GB", 24_000_000_000),
            ("1000", 1000),
            ("64b", 64),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        assert!(parse("16G").unwrap_err().contains("1000 or of 1024"));
        for text in ["", "much", "-1GiB", "0", "nan", "inf", "1e300GiB", "GiB"] {
            assert!(parse(text).unwrap_err().contains("16GiB"), "{text}");
        }
    }
}
