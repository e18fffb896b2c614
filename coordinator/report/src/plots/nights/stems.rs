//! Names of the files of nights: what a plot shows in plain lower-case letters, so that they stay the same from report to report, and different
//! for any two series.

use std::collections::HashSet;

use crate::Theme;

/// What the names of a series' plot and of a group's begin with.
pub(super) const SERIES: &str = "history";
pub(super) const DEVICES: &str = "devices";
/// Longest file stem, characters.
const LENGTH: usize = 80;

/// The stems that are taken.
#[derive(Debug, Default)]
pub(super) struct Stems {
    taken: HashSet<String>,
}

impl Stems {
    /// A stem of as many of `words` as there is room for, with a number behind it where others have the same.
    pub(super) fn unique(&mut self, kind: &str, words: &[&str]) -> String {
        let mut stem = kind.to_owned();
        for word in words
            .iter()
            .flat_map(|word| word.split(|character: char| !character.is_ascii_alphanumeric()))
            .filter(|word| !word.is_empty())
        {
            if stem.len() + word.len() >= LENGTH {
                break;
            }
            stem.push('-');
            stem.push_str(&word.to_ascii_lowercase());
        }
        let mut unique = stem.clone();
        let mut count = 1;
        while !self.taken.insert(unique.clone()) {
            count += 1;
            unique = format!("{stem}-{count}");
        }
        unique
    }
}

pub(super) fn file_name(stem: &str, theme: Theme) -> String {
    format!("{stem}-{theme}.svg")
}

/// Whether a file of this name can only be a plot of nights that an earlier report left.
pub(crate) fn is_file_name(file: &str) -> bool {
    let begins = [SERIES, DEVICES].iter().any(|kind| {
        file.strip_prefix(kind)
            .is_some_and(|rest| rest.starts_with('-'))
    });
    begins
        && [Theme::Light, Theme::Dark]
            .into_iter()
            .any(|theme| file.ends_with(&file_name("", theme)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stems_are_plain_and_never_twice_the_same() {
        let mut stems = Stems::default();
        let words = ["GPU <3>", "linear/../x"];
        assert_eq!(stems.unique(SERIES, &words), "history-gpu-3-linear-x");
        assert_eq!(stems.unique(SERIES, &words), "history-gpu-3-linear-x-2");
        assert_eq!(stems.unique(SERIES, &["グラボ"]), "history");
        let long = "word ".repeat(60);
        assert!(stems.unique(DEVICES, &[&long]).len() <= LENGTH);
    }

    #[test]
    fn only_plots_of_nights_are_taken_for_such() {
        for (name, is_one) in [
            ("history-gpu-3-light.svg", true),
            ("devices-x-dark.svg", true),
            ("history-light.svg", true),
            ("history.svg", false),
            ("historical-x-light.svg", false),
            ("01-linear-iteration-time-light.svg", false),
        ] {
            assert_eq!(is_file_name(name), is_one, "{name}");
        }
    }
}
