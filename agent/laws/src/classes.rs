//! The classes of laws that the inference is validated on: what each is, and how one of its laws is drawn.
//!
//! A class draws a law with random parameters, the batch sizes and rounds of a measurement of it, and what a right answer is. The draws of a class
//! and seed never change with the noise, so that one law can be followed through noise levels.

mod smooth;
mod stepped;

use crate::{Law, Random, Remainder, Scatter};

/// A kind of law, or a way of measuring one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Rounds of samples and nothing else.
    Staircase,
    /// Rounds of samples that themselves take time.
    StaircaseOnSlope,
    /// Rounds that end with a fall: left-over samples take a slower path of any simple shape.
    Sawtooth,
    /// A launch-bound floor hides the first rounds.
    FloorThenStaircase,
    /// The library switches its algorithm once, up or down.
    StaircaseWithSwitch,
    /// A short period inside a long one; the larger jump is the step.
    PeriodInPeriod,
    /// Left-over samples cost ever more.
    ProfileRising,
    /// Left-over samples cost ever less.
    ProfileFalling,
    /// Odd batch sizes cost more than even ones, and both more than the multiples.
    ProfileAlternating,
    /// Left-over samples cost anything.
    ProfileRandom,
    /// Odd batch sizes cost so much more than even ones that the multiples hardly matter: the step is 2.
    DominantAlternation,
    /// Odd batch sizes cost more than both neighbours.
    Alternation,
    /// Processors over tiles per sample.
    Fractional,
    /// Rounds that end a few samples late.
    Offset,
    /// One wave-limited layer over many fine ones.
    Network,
    /// Two periods without a common measure.
    TwoCombs,
    /// Measured at even batch sizes only.
    EvenGrid,
    /// Measured at every fourth batch size only.
    EveryFourthGrid,
    /// Measured over little more than three periods.
    ThreeEdges,
    /// 12 % of the batch sizes are missing.
    MissingPoints,
    /// Bursts, 6 % drift and 3 % noise of other users.
    SharedHost,
    /// A straight line.
    Linear,
    /// A launch-bound floor, then a straight line.
    FloorThenLinear,
    /// Time grows ever faster.
    Convex,
    /// Time grows ever slower.
    Concave,
    /// Launch-bound throughout.
    Flat,
    /// One algorithm switch.
    OneSwitch,
    /// Two algorithm switches.
    TwoSwitches,
    /// The batch sizes measured are all multiples of the period.
    BlindGrid,
    /// Five batch sizes.
    FivePoints,
    /// The slower path costs a share of the time.
    ProportionalRemainder,
    /// Rounds, bent by a power cap.
    PowerCappedStaircase,
    /// Measured far from the first rounds.
    LateWindow,
    /// Tails of Student's t with three degrees of freedom.
    HeavyTails,
    /// A clock that ticks coarsely.
    QuantisedClock,
    /// Measured at every second or third batch size, from anywhere.
    OffsetGrid,
    /// Periods of 33 to 96 samples, some with an offset.
    LongPeriod,
    /// Measured densely over two periods, then only at pairs around the edges further out, as an adaptive sweep does.
    PairedGrid,
    /// Every batch size has a quirk of its own that repeats in every round.
    QuirkyStaircase,
    /// Two algorithm switches within a few samples.
    CloseSwitches,
    /// Three to six algorithm switches.
    ManySwitches,
    /// Many layers with periods of their own, none of which stands out.
    FineCombs,
    /// Caches that overflow.
    SmoothBumps,
    /// Ripples whose length changes with the batch size.
    Ripples,
    /// A straight line bent by a power cap.
    PowerCappedLine,
    /// A straight line on which every batch size has a quirk of its own that repeats in every round.
    QuirkyLine,
    /// No step, measured densely over a while, then only at pairs that lie as the edges of a period would.
    PairedGridSmooth,
}

/// What a law must be answered with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Truth {
    /// This period and offset, in samples.
    Step {
        /// Samples per round.
        period: f64,
        /// Samples by which the ends of the rounds are shifted.
        offset: f64,
    },
    /// This period or `insufficient`; never another period.
    StepOrInsufficient {
        /// Samples per round.
        period: f64,
    },
    /// `no_step` or `irregular`.
    NoStep,
    /// `insufficient`.
    Insufficient,
}

/// One law, and how it is to be measured.
#[derive(Clone, Debug)]
pub struct Draw {
    /// Seconds per iteration, around a millisecond.
    pub law: Law,
    /// Batch sizes, ascending.
    pub sizes: Vec<u32>,
    /// What the machine adds.
    pub scatter: Scatter,
    /// What a right answer says.
    pub truth: Truth,
}

impl Class {
    /// The classes that the design names, in its order.
    pub const NAMED: [Self; 30] = [
        Self::Staircase,
        Self::StaircaseOnSlope,
        Self::Sawtooth,
        Self::FloorThenStaircase,
        Self::StaircaseWithSwitch,
        Self::PeriodInPeriod,
        Self::ProfileRising,
        Self::ProfileFalling,
        Self::ProfileAlternating,
        Self::ProfileRandom,
        Self::DominantAlternation,
        Self::Alternation,
        Self::Fractional,
        Self::Offset,
        Self::Network,
        Self::TwoCombs,
        Self::EvenGrid,
        Self::EveryFourthGrid,
        Self::ThreeEdges,
        Self::MissingPoints,
        Self::SharedHost,
        Self::Linear,
        Self::FloorThenLinear,
        Self::Convex,
        Self::Concave,
        Self::Flat,
        Self::OneSwitch,
        Self::TwoSwitches,
        Self::BlindGrid,
        Self::FivePoints,
    ];

    /// Classes that the design does not name, meant to break the inference.
    pub const HARD: [Self; 17] = [
        Self::ProportionalRemainder,
        Self::PowerCappedStaircase,
        Self::LateWindow,
        Self::HeavyTails,
        Self::QuantisedClock,
        Self::OffsetGrid,
        Self::LongPeriod,
        Self::PairedGrid,
        Self::QuirkyStaircase,
        Self::CloseSwitches,
        Self::ManySwitches,
        Self::FineCombs,
        Self::SmoothBumps,
        Self::Ripples,
        Self::PowerCappedLine,
        Self::QuirkyLine,
        Self::PairedGridSmooth,
    ];

    /// Every class.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::NAMED.into_iter().chain(Self::HARD)
    }

    /// Its name, for people and for the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Staircase => "staircase",
            Self::StaircaseOnSlope => "staircase on a slope",
            Self::Sawtooth => "sawtooth",
            Self::FloorThenStaircase => "floor then staircase",
            Self::StaircaseWithSwitch => "staircase with a switch",
            Self::PeriodInPeriod => "period in period",
            Self::ProfileRising => "profile rising",
            Self::ProfileFalling => "profile falling",
            Self::ProfileAlternating => "profile alternating",
            Self::ProfileRandom => "profile random",
            Self::DominantAlternation => "dominant alternation",
            Self::Alternation => "alternation",
            Self::Fractional => "fractional",
            Self::Offset => "offset",
            Self::Network => "network",
            Self::TwoCombs => "two combs",
            Self::EvenGrid => "even grid",
            Self::EveryFourthGrid => "every-fourth grid",
            Self::ThreeEdges => "three edges",
            Self::MissingPoints => "missing points",
            Self::SharedHost => "shared host",
            Self::Linear => "linear",
            Self::FloorThenLinear => "floor then linear",
            Self::Convex => "convex",
            Self::Concave => "concave",
            Self::Flat => "flat",
            Self::OneSwitch => "one switch",
            Self::TwoSwitches => "two switches",
            Self::BlindGrid => "blind grid",
            Self::FivePoints => "five points",
            Self::ProportionalRemainder => "proportional remainder",
            Self::PowerCappedStaircase => "power-capped staircase",
            Self::LateWindow => "late window",
            Self::HeavyTails => "heavy tails",
            Self::QuantisedClock => "quantised clock",
            Self::OffsetGrid => "offset grid",
            Self::LongPeriod => "long period",
            Self::PairedGrid => "paired grid",
            Self::QuirkyStaircase => "quirky staircase",
            Self::QuirkyLine => "quirky line",
            Self::PairedGridSmooth => "paired grid, smooth",
            Self::CloseSwitches => "close switches",
            Self::ManySwitches => "many switches",
            Self::FineCombs => "fine combs",
            Self::SmoothBumps => "smooth bumps",
            Self::Ripples => "ripples",
            Self::PowerCappedLine => "power-capped line",
        }
    }

    /// Whether its laws hold a step that the batch sizes measured can show.
    #[must_use]
    pub const fn has_step(self) -> bool {
        !self.is_smooth() && !matches!(self, Self::BlindGrid | Self::FivePoints)
    }

    /// Whether its laws hold no step at all.
    #[must_use]
    pub const fn is_smooth(self) -> bool {
        matches!(
            self,
            Self::Linear
                | Self::FloorThenLinear
                | Self::Convex
                | Self::Concave
                | Self::Flat
                | Self::OneSwitch
                | Self::TwoSwitches
                | Self::CloseSwitches
                | Self::ManySwitches
                | Self::FineCombs
                | Self::SmoothBumps
                | Self::Ripples
                | Self::PowerCappedLine
                | Self::QuirkyLine
                | Self::PairedGridSmooth
        )
    }

    /// The law of this class with that seed, whose blocks scatter by `sigma`; a class that is a kind of noise adds its own.
    #[must_use]
    pub fn draw(self, seed: u64, sigma: f64) -> Draw {
        let random = &mut Random::named(self.name(), seed);
        let mut draw = if self.is_smooth() {
            smooth::draw(self, random)
        } else {
            stepped::draw(self, random)
        };
        // Drawn in milliseconds around 1.
        draw.law = draw.law.scaled(1e-3);
        draw.scatter.sigma = draw.scatter.sigma.max(sigma);
        draw
    }
}

impl std::str::FromStr for Class {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        Self::all()
            .find(|class| class.name() == text)
            .ok_or_else(|| UnknownClass(text.to_owned()))
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no class has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no class of laws called {0:?}")]
pub struct UnknownClass(pub String);

/// A straight line through 1 at batch size `at`, with a random share of it constant.
fn line(random: &mut Random, at: f64, least: f64, most: f64) -> Law {
    let constant = random.uniform(least, most);
    Law {
        constant,
        slope: (1.0 - constant) / at,
        ..Law::default()
    }
}

/// Quirks of batch sizes, as shares of the time with that standard deviation: they repeat only far outside any range measured.
fn quirks(random: &mut Random, sigma: f64) -> Remainder {
    let extra = (0..1009).map(|_| sigma * random.normal()).collect();
    Remainder {
        extra,
        proportional: true,
    }
}

/// Every batch size up to `dense`, then pairs around the further edges of `period` up to `last`.
fn paired(period: f64, dense: f64, last: f64) -> Vec<u32> {
    let edges = (1..)
        .map(|k| f64::from(k) * period)
        .take_while(|edge| edge + 2.0 <= last)
        .filter(|edge| edge - 1.0 > dense);
    let pairs = edges.flat_map(|edge| {
        let edge = edge as u32;
        edge - 1..=edge + 2
    });
    (1..=dense as u32).chain(pairs).collect()
}

/// Every batch size up to `last`.
fn dense(last: f64) -> Vec<u32> {
    (1..=last as u32).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_class_draws_laws_that_give_times() {
        for class in Class::all() {
            assert_eq!(class.name().parse(), Ok(class));
            for seed in 0..200 {
                let draw = class.draw(seed, 0.01);
                assert!(draw.sizes.is_sorted() && draw.sizes.first() >= Some(&1));
                let last = *draw.sizes.last().unwrap();
                assert_eq!(draw.law.check(last), Ok(()), "{class} {seed}");
                assert_eq!(draw.scatter.check(), Ok(()));
                let step = matches!(
                    draw.truth,
                    Truth::Step { .. } | Truth::StepOrInsufficient { .. }
                );
                assert_eq!(step, class.has_step());
                assert_eq!(draw.truth == Truth::NoStep, class.is_smooth());
            }
        }
        let names: BTreeSet<&str> = Class::all().map(Class::name).collect();
        assert_eq!(names.len(), Class::NAMED.len() + Class::HARD.len());
        assert!("stairs".parse::<Class>().is_err());
    }

    #[test]
    fn a_seed_draws_the_same_law_at_every_noise() {
        for class in Class::all() {
            let (one, other) = (class.draw(5, 0.002), class.draw(5, 0.05));
            assert_eq!((one.law, one.sizes), (other.law, other.sizes));
        }
    }
}
