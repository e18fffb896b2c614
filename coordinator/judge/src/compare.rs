//! Two sets of blocks, of two runs, devices, dates or drivers: is one slower? For `batchstep compare`; apart from the judging of nights, whose books it does not know.
//!
//! The two sides are paired by batch size, and only batch sizes that both have count. Of each the ratio of the median times is taken; the answer is about the median of
//! their logarithms, with a bootstrap interval that draws batch sizes and, within each, blocks.

use std::collections::BTreeMap;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::stats::{median, quantile};

/// Seconds per iteration of each block, by batch size.
pub type Blocks = BTreeMap<u32, Vec<f64>>;

/// Share of the draws outside the interval, on both sides together.
const OUTSIDE: f64 = 0.05;

/// How two sides are compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Differences up to this share are none that matter.
    pub equivalence: f64,
    /// Standard deviation of a night of the series, a logarithm, where the sides are of different nights: blocks of one night do not know it. 0 within a night.
    pub night_sigma: f64,
    /// Draws of the bootstrap.
    pub draws: usize,
    /// Seed of the draws: the same blocks and options give the same answer.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            equivalence: 0.01,
            night_sigma: 0.0,
            draws: 2000,
            seed: 0,
        }
    }
}

/// What the other side is beside the one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The whole interval is within the equivalence bound.
    Same,
    /// The whole interval is below 0, and not within the bound.
    Faster,
    /// The whole interval is above 0, and not within the bound.
    Slower,
    /// The interval holds both no difference and one that matters, or there is none.
    Ambiguous,
}

/// The other side beside the one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// In a word.
    pub answer: Answer,
    /// Median over the pairs of the logarithm of the ratio of times, the other side's over the one's: 0.03 is 3 % slower.
    pub shift: f64,
    /// 95 % interval of the shift; `None` where a single pair of single blocks has none.
    pub interval: Option<[f64; 2]>,
    /// Batch sizes that both sides have.
    pub pairs: usize,
    /// Batch sizes that only the one has.
    pub only_in_one: Vec<u32>,
    /// Batch sizes that only the other has.
    pub only_in_other: Vec<u32>,
}

/// Why two sides cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// No batch size is on both sides.
    #[error(
        "the two sides have no batch size in common ({one} on one side, {other} on the other): compare runs over the same batch sizes"
    )]
    NothingInCommon {
        /// Batch sizes of the one side.
        one: usize,
        /// Batch sizes of the other.
        other: usize,
    },
}

/// Compares the other side with the one. Times that are no positive finite numbers are left out.
///
/// # Errors
/// [`CompareError::NothingInCommon`] where there is no pair.
pub fn compare(
    one: &Blocks,
    other: &Blocks,
    options: &Options,
) -> Result<Comparison, CompareError> {
    let (one, other) = (logarithms(one), logarithms(other));
    let pairs: Vec<[&[f64]; 2]> = one
        .iter()
        .filter_map(|(size, blocks)| Some([blocks.as_slice(), other.get(size)?.as_slice()]))
        .collect();
    let shifts = pairs.iter().filter_map(|[one, other]| {
        Some(median(other.iter().copied())? - median(one.iter().copied())?)
    });
    let Some(shift) = median(shifts) else {
        return Err(CompareError::NothingInCommon {
            one: one.len(),
            other: other.len(),
        });
    };
    let interval = interval(&pairs, options);
    Ok(Comparison {
        answer: interval.map_or(Answer::Ambiguous, |interval| answer(interval, options)),
        shift,
        interval,
        pairs: pairs.len(),
        only_in_one: only(&one, &other),
        only_in_other: only(&other, &one),
    })
}

fn logarithms(blocks: &Blocks) -> Blocks {
    let sizes = blocks.iter().map(|(size, times)| {
        let times = times.iter().filter(|time| **time > 0.0 && time.is_finite());
        (*size, times.map(|time| time.ln()).collect::<Vec<f64>>())
    });
    sizes.filter(|(_, times)| !times.is_empty()).collect()
}

fn only(one: &Blocks, other: &Blocks) -> Vec<u32> {
    one.keys()
        .filter(|size| !other.contains_key(size))
        .copied()
        .collect()
}

fn answer([low, high]: [f64; 2], options: &Options) -> Answer {
    let bound = options.equivalence.ln_1p();
    if -bound <= low && high <= bound {
        Answer::Same
    } else if low > 0.0 {
        Answer::Slower
    } else if high < 0.0 {
        Answer::Faster
    } else {
        Answer::Ambiguous
    }
}

fn interval(pairs: &[[&[f64]; 2]], options: &Options) -> Option<[f64; 2]> {
    if pairs.len() == 1 && pairs.iter().flatten().all(|blocks| blocks.len() < 2) {
        return None;
    }
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let mut draws: Vec<f64> = Vec::with_capacity(options.draws);
    let mut drawn = Vec::new();
    for _ in 0..options.draws {
        let shifts: Vec<f64> = pairs
            .iter()
            .filter_map(|_| {
                let [one, other] = pairs[random.random_range(0..pairs.len())];
                Some(
                    redrawn(other, &mut drawn, &mut random)?
                        - redrawn(one, &mut drawn, &mut random)?,
                )
            })
            .collect();
        // Two nights, each with its own spread.
        let nights = options.night_sigma * std::f64::consts::SQRT_2 * normal(&mut random);
        draws.extend(median(shifts).map(|shift| shift + nights));
    }
    draws.sort_by(f64::total_cmp);
    Some([
        quantile(&draws, OUTSIDE / 2.0)?,
        quantile(&draws, 1.0 - OUTSIDE / 2.0)?,
    ])
}

/// Median of as many blocks, drawn with putting back.
fn redrawn(blocks: &[f64], drawn: &mut Vec<f64>, random: &mut ChaCha8Rng) -> Option<f64> {
    drawn.clear();
    drawn.extend((0..blocks.len()).map(|_| blocks[random.random_range(0..blocks.len())]));
    median(drawn.iter().copied())
}

/// A draw of the standard normal distribution (Box and Muller, "A note on the generation of random normal deviates", 1958).
fn normal(random: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `count` blocks of each batch size with this spread, all slower by `shift`.
    fn blocks(
        random: &mut ChaCha8Rng,
        sizes: &[u32],
        count: usize,
        spread: f64,
        shift: f64,
    ) -> Blocks {
        let mut block =
            |size: u32| f64::from(size) * 1e-4 * (shift + spread * normal(random)).exp();
        sizes
            .iter()
            .map(|size| (*size, (0..count).map(|_| block(*size)).collect()))
            .collect()
    }

    /// Of so many pairs of sides, the share with each answer.
    fn shares(sizes: &[u32], count: usize, spread: f64, shift: f64) -> BTreeMap<u8, f64> {
        const CASES: u64 = 400;
        let mut shares = BTreeMap::new();
        for seed in 0..CASES {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let one = blocks(&mut random, sizes, count, spread, 0.0);
            let other = blocks(&mut random, sizes, count, spread, shift);
            let options = Options {
                draws: 300,
                seed,
                ..Options::default()
            };
            let answer = compare(&one, &other, &options).unwrap().answer;
            *shares.entry(answer as u8).or_insert(0.0) += 1.0 / CASES as f64;
        }
        shares
    }

    fn share(shares: &BTreeMap<u8, f64>, answer: Answer) -> f64 {
        shares.get(&(answer as u8)).copied().unwrap_or(0.0)
    }

    #[test]
    fn equal_sides_are_called_different_in_one_of_twenty_cases_at_most() {
        let few: &[u32] = &[32, 64, 96, 128];
        let many: &[u32] = &[8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96];
        for (sizes, count, spread) in [
            (few, 3, 0.01),
            (few, 10, 0.03),
            (many, 5, 0.05),
            (&[64][..], 12, 0.03),
        ] {
            let shares = shares(sizes, count, spread, 0.0);
            let different = share(&shares, Answer::Slower) + share(&shares, Answer::Faster);
            assert!(
                different <= 0.05,
                "{} sizes, {count} blocks, {spread}: {different}",
                sizes.len()
            );
        }
    }

    #[test]
    fn equal_sides_with_many_blocks_are_the_same_and_five_percent_are_slower() {
        let sizes = [32, 64, 96, 128];
        assert!(share(&shares(&sizes, 20, 0.01, 0.0), Answer::Same) > 0.95);
        assert!(share(&shares(&sizes, 20, 0.01, 0.05_f64.ln_1p()), Answer::Slower) > 0.99);
        assert!(
            share(
                &shares(&sizes, 20, 0.01, (-0.05_f64).ln_1p()),
                Answer::Faster
            ) > 0.99
        );
    }

    #[test]
    fn only_what_both_have_counts_and_the_rest_is_named() {
        let one = Blocks::from([
            (1, vec![1.0, f64::NAN]),
            (2, vec![2.0, 2.1, 2.0]),
            (3, vec![]),
        ]);
        let other = Blocks::from([(2, vec![2.2, 2.2, 2.3]), (3, vec![3.0]), (9, vec![9.0])]);
        let found = compare(&one, &other, &Options::default()).unwrap();
        assert_eq!(
            (found.pairs, found.only_in_one, found.only_in_other),
            (1, vec![1], vec![3, 9])
        );
        assert!((found.shift - 1.1_f64.ln()).abs() < 1e-9);
        assert_eq!(found.answer, Answer::Slower);
    }

    #[test]
    fn single_blocks_have_no_interval_and_nothing_in_common_is_an_error() {
        let one = Blocks::from([(1, vec![1.0])]);
        let found = compare(&one, &Blocks::from([(1, vec![2.0])]), &Options::default()).unwrap();
        assert_eq!((found.answer, found.interval), (Answer::Ambiguous, None));
        let error =
            compare(&one, &Blocks::from([(2, vec![2.0])]), &Options::default()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the two sides have no batch size in common")
        );
    }

    #[test]
    fn nights_that_differ_anyway_are_no_difference() {
        let one = Blocks::from([(1, vec![1.0; 9]), (2, vec![2.0; 9])]);
        let other = Blocks::from([(1, vec![1.02; 9]), (2, vec![2.04; 9])]);
        let within = Options::default();
        assert_eq!(
            compare(&one, &other, &within).unwrap().answer,
            Answer::Slower
        );
        let nights = Options {
            night_sigma: 0.01,
            ..within
        };
        assert_eq!(
            compare(&one, &other, &nights).unwrap().answer,
            Answer::Ambiguous
        );
    }
}
