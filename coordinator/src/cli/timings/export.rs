//! What our own blocks tell of how they were planned. Called by `rows`.

/// What an exported series tells of its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Plan {
    /// Blocks were as long as each batch size needs.
    Calibrated,
    /// Each block had the number of iterations that a person asked for.
    FixedIterations,
}

/// The numbers of iterations met so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Iterations {
    #[default]
    None,
    One(String),
    Several,
}

impl Iterations {
    pub(super) fn meet(&mut self, number: &str) {
        match self {
            Self::None => *self = Self::One(number.to_owned()),
            Self::One(known) if known != number => *self = Self::Several,
            Self::One(_) | Self::Several => {}
        }
    }

    /// Blocks that all had one number of iterations had it because a person asked; a single iteration is also what slow batch sizes are given.
    pub(super) fn plan(&self) -> Plan {
        match self {
            Self::One(number) if number != "1" => Plan::FixedIterations,
            _ => Plan::Calibrated,
        }
    }
}
