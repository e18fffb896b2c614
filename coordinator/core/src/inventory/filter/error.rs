//! What is wrong with a filter, in words that lead to a right one.

/// A filter that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("in the term {term:?} at character {position}: {problem}")]
pub struct FilterError {
    /// The term, shortened.
    pub term: String,
    /// Where it begins, counted from 1.
    pub position: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong with a term.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Nothing is there.
    #[error("a term is missing; write FIELD OP VALUE, as in driver<580")]
    Missing,
    /// There is no name at its beginning.
    #[error("a term begins with the name of a field, as in driver<580")]
    NoField,
    /// There are too many.
    #[error("more than {0} terms")]
    TooMany(usize),
    /// Nobody knows the field.
    #[error(
        "there is no field `{name}`; nearest: {nearest}; `batchstep inventory --fields` lists all"
    )]
    UnknownField {
        /// As written.
        name: String,
        /// Real names like it.
        nearest: String,
    },
    /// A short name that several fields have.
    #[error("`{name}` may mean {candidates}; write more of the name")]
    AmbiguousField {
        /// As written.
        name: String,
        /// What it may mean.
        candidates: String,
    },
    /// The field is not followed by an operator.
    #[error("`{field}` is not followed by an operator; it knows {allowed}")]
    NoOperator {
        /// The field's full name.
        field: &'static str,
        /// Its operators.
        allowed: &'static str,
    },
    /// The field's values cannot be compared so.
    #[error("`{field}` is a {kind} and cannot be compared with {operator}; it knows {allowed}")]
    WrongOperator {
        /// The field's full name.
        field: &'static str,
        /// What its values are.
        kind: &'static str,
        /// As written.
        operator: &'static str,
        /// Its operators.
        allowed: &'static str,
    },
    /// The operator is not followed by a value.
    #[error("a value is missing after {operator}; for an empty text write ''")]
    NoValue {
        /// As written.
        operator: &'static str,
    },
    /// A quote is not closed.
    #[error("the quote {0} is not closed")]
    OpenQuote(char),
    /// Something follows a quoted value.
    #[error("a comma or `and` is missing before {0:?}")]
    Trailing(String),
    /// An unquoted value that goes on like another term.
    #[error(
        "{value:?} has {word:?} in it: all terms must hold, and they are joined by a comma or `and`; a text with {word:?} in it stands in quotes"
    )]
    Joined {
        /// As written.
        value: String,
        /// What looks like more than a value.
        word: &'static str,
    },
    /// The value is none of the field's.
    #[error("{value:?} is no value of `{field}`: {wanted}")]
    WrongValue {
        /// The field's full name.
        field: &'static str,
        /// As written.
        value: String,
        /// What would be.
        wanted: String,
    },
}
