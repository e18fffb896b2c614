//! What somebody may have meant by a word that is not known. Used by messages about workloads and about settings.

/// "did you mean x? " when a known word is close, else nothing.
#[must_use]
pub fn suggestion<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    known
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map_or_else(String::new, |(_, candidate)| {
            format!("did you mean {candidate}? ")
        })
}

/// Edit distance (Levenshtein), in characters; long words are not compared in full.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().take(32).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::suggestion;

    #[test]
    fn the_nearest_word_is_offered_and_far_ones_are_not() {
        let known = || ["listen", "data_dir", "log"].into_iter();
        assert_eq!(suggestion("data-dir", known()), "did you mean data_dir? ");
        assert_eq!(suggestion("lsten", known()), "did you mean listen? ");
        assert_eq!(suggestion("colour", known()), "");
    }
}
