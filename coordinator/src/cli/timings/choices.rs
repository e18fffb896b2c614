//! What a person may say about a file of timings, as flags. Absent flags are found out from the file, or asked for by an error that names the flag.

use std::{fmt, str::FromStr};

use clap::{Args, ValueEnum};

use super::unit::Unit;

/// Flags that say how a file is read.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "How the file is read")]
pub(in crate::cli) struct Choices {
    /// What separates columns: comma, semicolon, tab, space (any number of blanks), or a character [default: as the first lines show].
    #[arg(long, value_name = "SEPARATOR")]
    pub(super) separator: Option<Separator>,
    /// What the decimals of a number begin with [default: as the numbers show].
    #[arg(long, value_enum, value_name = "point|comma")]
    pub(super) decimal: Option<Decimal>,
    /// Column of batch sizes, by name or by number from 1 [default: batch_size; without a header: 1].
    #[arg(long, value_name = "NAME")]
    pub(super) batch_size_column: Option<String>,
    /// Column of times or rates in --unit, by name or by number from 1 [default: seconds; without a header: 2].
    #[arg(long, value_name = "NAME")]
    pub(super) seconds_column: Option<String>,
    /// Column of rounds, by name or by number from 1 [default: round, where there is one].
    #[arg(long, value_name = "NAME")]
    pub(super) round_column: Option<String>,
    /// What the seconds column holds [default: s].
    #[arg(long, value_enum, value_name = "UNIT")]
    pub(super) unit: Option<Unit>,
    /// Which series of a blocks.csv, by the beginning of its id.
    #[arg(long, value_name = "ID")]
    pub(super) series: Option<String>,
}

/// What stands between two columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Separator {
    /// Exactly one of this byte; two are an empty column.
    Byte(u8),
    /// Any number of spaces and tabs.
    Blanks,
}

impl Separator {
    pub(super) const COMMA: Self = Self::Byte(b',');
    pub(super) const SEMICOLON: Self = Self::Byte(b';');
    pub(super) const TAB: Self = Self::Byte(b'\t');
}

impl FromStr for Separator {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.as_bytes()) {
            ("comma", _) => Ok(Self::COMMA),
            ("semicolon", _) => Ok(Self::SEMICOLON),
            ("tab" | "\\t", _) => Ok(Self::TAB),
            ("space" | "spaces" | "blanks" | " ", _) => Ok(Self::Blanks),
            // What numbers, quotes, comments and lines are made of separates nothing.
            (_, [byte])
                if (byte.is_ascii_punctuation() || *byte == b'\t') && !b"\"#.+-".contains(byte) =>
            {
                Ok(Self::Byte(*byte))
            }
            _ => Err(
                "write comma, semicolon, tab, space, or one character such as | that is in no number"
                    .to_owned(),
            ),
        }
    }
}

impl fmt::Display for Separator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::COMMA => f.write_str("comma"),
            Self::SEMICOLON => f.write_str("semicolon"),
            Self::TAB => f.write_str("tab"),
            Self::Blanks => f.write_str("space"),
            Self::Byte(byte) => write!(f, "{}", char::from(byte)),
        }
    }
}

/// What the decimals of a number begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Decimal {
    /// 0.0123
    Point,
    /// 0,0123
    Comma,
}

impl Decimal {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Point => "point",
            Self::Comma => "comma",
        }
    }
}
