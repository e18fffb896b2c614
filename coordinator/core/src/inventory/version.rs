//! Versions compared number by number: 570.86.10 comes before 580, and 9.10 after 9.9. Called by filters and skew.

use std::cmp::Ordering;

/// A piece of a version between separators. Words come before numbers, so that `6.8-rc1` comes before `6.8.1`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Piece<'a> {
    Word(&'a str),
    /// Digits without leading zeros; a longer one is a larger one, however long.
    Number(usize, &'a str),
}

/// Orders two versions. Total; two that differ only in separators or leading zeros are equal, and one that goes on comes after one that ends.
#[must_use]
pub fn compare(left: &str, right: &str) -> Ordering {
    pieces(left).cmp(pieces(right))
}

fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
        let is_number = rest.chars().next()?.is_ascii_digit();
        let end = rest
            .find(|c: char| !c.is_alphanumeric() || c.is_ascii_digit() != is_number)
            .unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(if is_number {
            let digits = piece.trim_start_matches('0');
            Piece::Number(digits.len(), digits)
        } else {
            Piece::Word(piece)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_number_by_number() {
        let ascending = [
            "",
            "6.8-rc1",
            "6.8.1",
            "9",
            "9.9",
            "9.10",
            "570.86.10",
            "580",
            "580.95.05",
            "1000",
            "99999999999999999999999",
        ];
        for pair in ascending.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
        assert_eq!(compare("570.86.10", "570-086_10"), Ordering::Equal);
    }
}
