//! What the name of a column suggests. For hints in errors, and to refuse a unit that the name contradicts; never to read a column unasked.

use super::unit::Unit;

/// Whether a column of this name may hold batch sizes.
pub(super) fn is_batch_size(name: &str) -> bool {
    let words = words(name);
    words.iter().any(|word| word.starts_with("batch"))
        || matches!(words.as_slice(), [only] if matches!(only.as_str(), "bs" | "b" | "n" | "samples" | "size"))
}

/// Whether a column of this name may hold times or rates.
pub(super) fn is_time(name: &str) -> bool {
    const TIMES: [&str; 8] = [
        "time", "times", "timing", "latency", "duration", "elapsed", "runtime", "wall",
    ];
    unit(name).is_some()
        || words(name)
            .iter()
            .any(|word| TIMES.contains(&word.as_str()))
}

/// The unit that a name states, such as `time_ms`, `latency (µs)`, `images/s`.
pub(super) fn unit(name: &str) -> Option<Unit> {
    let words = words(name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let per_second = matches!(words.as_slice(), [.., "per", "s" | "sec" | "second"])
        || (words.len() > 1
            && name.contains('/')
            && matches!(words.last(), Some(&("s" | "sec" | "second"))));
    if per_second {
        let of_iterations = [
            "it",
            "its",
            "iter",
            "iters",
            "iterations",
            "steps",
            "batches",
        ];
        return Some(if words.iter().any(|word| of_iterations.contains(word)) {
            Unit::IterationsPerSecond
        } else {
            Unit::SamplesPerSecond
        });
    }
    match words.last().copied()? {
        "throughput" => Some(Unit::SamplesPerSecond),
        "s" | "sec" | "secs" | "second" | "seconds" => Some(Unit::Seconds),
        "ms" | "msec" | "msecs" | "millis" | "milliseconds" => Some(Unit::Milliseconds),
        "us" | "µs" | "μs" | "usec" | "usecs" | "micros" | "microseconds" => {
            Some(Unit::Microseconds)
        }
        "ns" | "nsec" | "nsecs" | "nanos" | "nanoseconds" => Some(Unit::Nanoseconds),
        _ => None,
    }
}

/// Lower-case words of a name: what stands between signs, and before capitals.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut previous = ' ';
    for character in name.chars() {
        let begins =
            !previous.is_alphanumeric() || (character.is_uppercase() && previous.is_lowercase());
        if character.is_alphanumeric() {
            let lower = character.to_lowercase();
            match words.last_mut() {
                Some(word) if !begins => word.extend(lower),
                _ => words.push(lower.collect()),
            }
        }
        previous = character;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_field_are_understood() {
        for name in [
            "batch",
            "Batch Size",
            "batchSize",
            "BATCH_SIZE",
            "bs",
            "n",
            "batch-size",
        ] {
            assert!(is_batch_size(name), "{name}");
        }
        for name in ["note", "samples/s", "device", "", "n_gpus"] {
            assert!(!is_batch_size(name), "{name}");
        }
        for name in [
            "time",
            "iter time",
            "latency (ms)",
            "elapsed",
            "t_ms",
            "img/s",
        ] {
            assert!(is_time(name), "{name}");
        }
        assert!(!is_time("batch_size") && !is_time("timeline"));
    }

    #[test]
    fn a_unit_is_taken_from_the_end_of_a_name() {
        for (name, expected) in [
            ("time_ms", Some(Unit::Milliseconds)),
            ("latency (µs)", Some(Unit::Microseconds)),
            ("Latency [us]", Some(Unit::Microseconds)),
            ("elapsedNs", Some(Unit::Nanoseconds)),
            ("ns", Some(Unit::Nanoseconds)),
            ("wall seconds", Some(Unit::Seconds)),
            ("samples/s", Some(Unit::SamplesPerSecond)),
            ("images per second", Some(Unit::SamplesPerSecond)),
            ("throughput", Some(Unit::SamplesPerSecond)),
            ("it/s", Some(Unit::IterationsPerSecond)),
            ("steps_per_sec", Some(Unit::IterationsPerSecond)),
            ("time", None),
            ("items", None),
            ("", None),
        ] {
            assert_eq!(unit(name), expected, "{name}");
        }
    }
}
