//! From text to terms. Every text is either a list of terms or an error with a place; nothing panics.

use super::{
    error::{FilterError, Problem},
    names,
    operand::{self, Operand},
    operator::{OPERATORS, Operator},
    term::Term,
};

/// Terms in one filter.
const TERMS: usize = 64;
/// Characters of a term in an error.
const SHOWN: usize = 60;

/// The terms of a filter; none in an empty text.
pub(super) fn terms(text: &str) -> Result<Vec<Term>, FilterError> {
    let mut parser = Parser { text, at: 0 };
    let mut terms = Vec::new();
    if text.trim().is_empty() {
        return Ok(terms);
    }
    loop {
        parser.skip_blanks();
        let begin = parser.at;
        let fail = |problem: Problem| FilterError {
            term: text[begin..].chars().take(SHOWN).collect(),
            position: text[..begin].chars().count() + 1,
            problem,
        };
        terms.push(parser.term().map_err(&fail)?);
        if terms.len() > TERMS {
            return Err(fail(Problem::TooMany(TERMS)));
        }
        if !parser.separator().map_err(&fail)? {
            return Ok(terms);
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    /// A byte, always at the beginning of a character.
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn term(&mut self) -> Result<Term, Problem> {
        if self.rest().is_empty() || self.rest().starts_with(',') {
            return Err(Problem::Missing);
        }
        let rest = self.rest();
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        if end == 0 {
            return Err(Problem::NoField);
        }
        let field = names::resolve(&rest[..end])?;
        self.at += end;
        self.skip_blanks();
        let allowed = operand::allowed(field);
        let Some((word, operator)) = self.operator() else {
            return Err(Problem::NoOperator {
                field: field.name,
                allowed,
            });
        };
        if !operand::knows(field, operator) {
            return Err(Problem::WrongOperator {
                field: field.name,
                kind: operand::kind(field),
                operator: word,
                allowed,
            });
        }
        self.skip_blanks();
        let (value, is_quoted) = self.value()?;
        if value.is_empty() && !is_quoted {
            return Err(Problem::NoValue { operator: word });
        }
        if let Some(word) = joint(value).filter(|_| !is_quoted) {
            return Err(Problem::Joined {
                value: value.chars().take(SHOWN).collect(),
                word,
            });
        }
        Ok(Term {
            field,
            operator,
            operand: Operand::read(field, operator, value, is_quoted)?,
        })
    }

    fn operator(&mut self) -> Option<(&'static str, Operator)> {
        let rest = self.rest();
        let found = OPERATORS.iter().find(|(word, _)| rest.starts_with(word))?;
        self.at += found.0.len();
        Some(*found)
    }

    /// A value, and whether it stood in quotes.
    fn value(&mut self) -> Result<(&'a str, bool), Problem> {
        let rest = self.rest();
        if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) {
            let inside = &rest[1..];
            let end = inside.find(quote).ok_or(Problem::OpenQuote(quote))?;
            self.at += end + 2;
            return Ok((&inside[..end], true));
        }
        let end = separator(rest).unwrap_or(rest.len());
        self.at += end;
        Ok((rest[..end].trim_end(), false))
    }

    /// Passes a comma or `and`; false at the end.
    fn separator(&mut self) -> Result<bool, Problem> {
        self.skip_blanks();
        let rest = self.rest();
        if rest.is_empty() {
            return Ok(false);
        }
        let length = if rest.starts_with(',') {
            1
        } else if is_and(rest) {
            3
        } else {
            return Err(Problem::Trailing(rest.chars().take(SHOWN).collect()));
        };
        self.at += length;
        Ok(true)
    }
}

/// Where an unquoted value ends: at a comma, or before a blank that `and` follows.
fn separator(text: &str) -> Option<usize> {
    text.char_indices().find_map(|(at, c)| {
        let ends = c == ',' || c.is_whitespace() && is_and(text[at..].trim_start());
        ends.then_some(at)
    })
}

/// What in an unquoted value looks like the rest of a longer expression: it would be searched for as it stands, and never found.
fn joint(value: &str) -> Option<&'static str> {
    const WORDS: [&str; 3] = ["or", "||", "&&"];
    const SIGNS: [&str; 5] = ["=", "!", "<", ">", "~"];
    let mut words = value.split_whitespace().skip(1);
    let word = words.find_map(|word| {
        let mut known = WORDS.into_iter();
        known.find(|known| word.eq_ignore_ascii_case(known))
    });
    word.or_else(|| SIGNS.into_iter().find(|sign| value.contains(sign)))
}

fn is_and(text: &str) -> bool {
    let word = text.get(..3).unwrap_or_default();
    let after = text.get(3..).unwrap_or_default();
    word.eq_ignore_ascii_case("and") && after.chars().next().is_none_or(char::is_whitespace)
}
