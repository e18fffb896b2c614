//! NVIDIA's rules of compatibility: which driver serves which CUDA, and which code runs on which GPU. Pure.

/// The oldest driver for a CUDA, where this driver is older. From the compatibility table of NVIDIA's CUDA release notes: minor versions of one
/// major version share it.
pub(super) fn too_old(driver: &str, cuda: &str) -> Option<u32> {
    let major = |version: &str| version.split('.').next()?.parse::<u32>().ok();
    let least = match major(cuda)? {
        11 => 450,
        12 => 525,
        13 => 580,
        _ => return None,
    };
    (major(driver)? < least).then_some(least)
}

/// "9.0" as numbers.
pub(super) fn capability_numbers(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Whether code for `architecture` runs on a device: of its own major version and at most its minor one; for family code ("10.3f") the same, for
/// code of one chip only ("9.0a") exactly; PTX on everything that is not older.
pub(super) fn carries(architecture: &str, device: (u32, u32)) -> bool {
    let (code, is_ptx) = match architecture.strip_suffix("+PTX") {
        Some(code) => (code, true),
        None => (architecture, false),
    };
    let numbers = code.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let suffix = &code[numbers.len()..];
    let Some(found) = capability_numbers(numbers) else {
        return false;
    };
    match (suffix, is_ptx) {
        ("a", _) => found == device,
        ("f", _) | (_, false) => found.0 == device.0 && found.1 <= device.1,
        (_, true) => found <= device,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_runs_where_cuda_says_it_does() {
        assert!(carries("9.0a", (9, 0)) && !carries("9.0a", (9, 1)));
        assert!(carries("10.0f", (10, 3)) && !carries("10.3f", (10, 0)));
        assert!(carries("12.0+PTX", (15, 0)) && !carries("12.0+PTX", (9, 0)));
        assert!(!carries("9.0", (10, 0)) && !carries("8.6", (8, 0)) && !carries("x", (8, 0)));
    }

    #[test]
    fn a_cuda_has_an_oldest_driver() {
        assert_eq!(too_old("570.86.10", "13.0"), Some(580));
        assert_eq!(too_old("580.65.06", "13"), None);
        assert_eq!(too_old("535.1", "12.8"), None);
        assert_eq!(too_old("470.57", "12"), Some(525));
        assert_eq!(too_old("470.57", "99.0"), None);
        assert_eq!(too_old("unknown", "13.0"), None);
    }
}
