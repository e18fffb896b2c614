//! Numbers with a decimal point or a decimal comma. Which of both a file has is learnt from its numbers as they pass; a file that could mean
//! either is refused, as a thousand times too much or too little looks like a timing, too.

use super::{choices::Decimal, error::Problem};

/// Digits of a group of thousands.
const GROUP: usize = 3;

/// What the numbers of a file have shown so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimals {
    chosen: Option<Decimal>,
    seen: Option<Decimal>,
    /// Whether a comma was seen that cannot be one of thousands.
    certain: bool,
    /// The first number with a comma, and its line.
    first: Option<(String, u64)>,
}

impl Decimals {
    /// Nothing is known but what a person says.
    pub(super) const fn new(chosen: Option<Decimal>) -> Self {
        Self {
            chosen,
            seen: None,
            certain: false,
            first: None,
        }
    }

    /// The number in `text` at `line`, maybe not finite; `None` when it is none.
    ///
    /// # Errors
    /// What is wrong with its point or comma.
    pub(super) fn number(&mut self, text: &str, line: u64) -> Result<Option<f64>, String> {
        let (points, commas) = (text.matches('.').count(), text.matches(',').count());
        if commas == 0 {
            if points > 0 && number(text).is_some() {
                self.meet(Decimal::Point, text)?;
            }
            return Ok(number(text));
        }
        let with_point = text.replace(',', ".");
        let Some(value) = number(&with_point).filter(|_| points == 0 && commas == 1) else {
            let digits = text.replace([',', '.'], "");
            return if number(&digits).is_some() {
                Err(format!(
                    "{text} has more than one point or comma; leave out what separates thousands"
                ))
            } else {
                Ok(None)
            };
        };
        self.meet(Decimal::Comma, text)?;
        self.certain |= !is_thousands(text);
        if self.first.is_none() {
            self.first = Some((text.to_owned(), line));
        }
        Ok(Some(value))
    }

    fn meet(&mut self, decimal: Decimal, text: &str) -> Result<(), String> {
        match (self.chosen, self.seen) {
            (Some(chosen), _) if chosen != decimal => Err(match decimal {
                Decimal::Comma => format!(
                    "{text} has a comma, and --decimal point is given; leave out what separates thousands"
                ),
                Decimal::Point => {
                    format!("{text} has a decimal point, and --decimal comma is given")
                }
            }),
            (_, Some(seen)) if seen != decimal => Err(format!(
                "{text} has a {}, and numbers before it have a decimal {}; write all with points",
                decimal.word(),
                seen.word()
            )),
            _ => {
                self.seen = Some(decimal);
                Ok(())
            }
        }
    }

    /// What the file has, once all of it has been read.
    ///
    /// # Errors
    /// When every comma could separate thousands.
    pub(super) fn settle(self) -> Result<Decimal, super::error::Fault> {
        match (self.seen, self.chosen, self.first) {
            (Some(Decimal::Comma), None, Some((text, line))) if !self.certain => {
                Err(Problem::Decimal { text }.at(line))
            }
            (seen, chosen, _) => Ok(seen.or(chosen).unwrap_or(Decimal::Point)),
        }
    }
}

/// Whether the one comma of `text` may separate thousands: three digits follow, and one to three that do not begin with 0 come before.
fn is_thousands(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.trim_start_matches(['+', '-'])
        .split_once(',')
        .is_some_and(|(before, after)| {
            digits(before)
                && digits(after)
                && after.len() == GROUP
                && before.len() <= GROUP
                && !before.starts_with('0')
        })
}

/// A number with a decimal point; words such as `nan` and `inf` are numbers that are not finite.
fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

/// Whether `text` is written as a number, with point or comma; words are not.
pub(super) fn is_number(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit()) && number(&text.replacen(',', ".", 1)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Result<(Vec<Option<f64>>, Decimal), String> {
        let mut decimals = Decimals::new(None);
        let values: Result<Vec<_>, _> = texts.iter().map(|text| decimals.number(text, 7)).collect();
        let values = values?;
        decimals
            .settle()
            .map(|decimal| (values, decimal))
            .map_err(|fault| fault.problem.to_string())
    }

    #[test]
    fn a_comma_that_cannot_separate_thousands_settles_the_file() {
        let (values, decimal) = read(&["32", "1,234", "0,0123"]).unwrap();
        assert_eq!(values, [Some(32.0), Some(1.234), Some(0.0123)]);
        assert_eq!(decimal, Decimal::Comma);
        for certain in ["0,123", "1,5", "1,2345", "1234,567", ",125", "1,234e-3"] {
            assert!(read(&[certain]).is_ok(), "{certain}");
        }
    }

    #[test]
    fn what_could_mean_either_is_refused() {
        let refused = read(&["1,234", "12,500", "3"]).unwrap_err();
        assert!(
            refused.contains("1,234") && refused.contains("--decimal comma"),
            "{refused}"
        );
        for mixed in [
            ["0.5", "0,5"],
            ["0,5", "0.5"],
            ["1.234,5", "1"],
            ["1,234,567", "1"],
        ] {
            assert!(read(&mixed).is_err(), "{mixed:?}");
        }
        let mut told = Decimals::new(Some(Decimal::Comma));
        assert_eq!(told.number("1,234", 1), Ok(Some(1.234)));
        assert_eq!(told.settle().unwrap(), Decimal::Comma);
        assert!(
            Decimals::new(Some(Decimal::Point))
                .number("1,5", 1)
                .is_err()
        );
    }

    #[test]
    fn words_are_no_numbers() {
        assert_eq!(read(&["fast", "a,b", ""]).unwrap().0, [None, None, None]);
        assert!(is_number("1,5") && is_number("-3e2") && !is_number("nan") && !is_number("batch"));
    }
}
