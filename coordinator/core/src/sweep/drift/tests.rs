//! The drift is what the definition says, however it is computed.

use proptest::prelude::*;

use super::*;

/// As the definition reads, one median after the other.
mod plain {
    use std::collections::BTreeMap;

    use super::super::{CLEARLY_LESS, LEAST_BLOCKS, LEAST_REPEATS, REACHES, Witness};

    fn median(mut values: Vec<f64>) -> f64 {
        values.sort_by(f64::total_cmp);
        match values.len() {
            0 => 0.0,
            count if count % 2 == 1 => values[count / 2],
            count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
        }
    }

    pub fn learned(witnesses: &[Witness]) -> Vec<f64> {
        let usual: Vec<f64> = witnesses.iter().map(|it| it.by_reference).collect();
        let Some(least) = scatter(witnesses, &usual) else {
            return usual;
        };
        let none = vec![0.0; witnesses.len()];
        let mut others: Vec<Vec<f64>> = with_neighbours(witnesses, &usual);
        others.extend(with_neighbours(witnesses, &none));
        others.push(none);
        others
            .into_iter()
            .filter_map(|drift| Some((scatter(witnesses, &drift)?, drift)))
            .filter(|&(scatter, _)| scatter < CLEARLY_LESS * least)
            .min_by(|(one, _), (other, _)| one.total_cmp(other))
            .map_or(usual, |(_, drift)| drift)
    }

    fn with_neighbours(witnesses: &[Witness], drift: &[f64]) -> Vec<Vec<f64>> {
        let above: Vec<f64> = residuals(witnesses, drift, |_| true)
            .into_iter()
            .map(|(_, residual)| residual)
            .collect();
        let around = |at: usize, reach: usize| {
            let near = at.saturating_sub(reach)..=(at + reach).min(witnesses.len() - 1);
            near.filter(|&other| other != at)
                .filter(|&other| witnesses[other].attempt == witnesses[at].attempt)
                .map(|other| above[other])
                .collect()
        };
        let with = |reach| {
            let moments = drift.iter().enumerate();
            moments
                .map(|(at, drift)| drift + median(around(at, reach)))
                .collect()
        };
        REACHES.into_iter().map(with).collect()
    }

    fn residuals(
        witnesses: &[Witness],
        drift: &[f64],
        asked: impl Fn(&Witness) -> bool,
    ) -> Vec<(usize, f64)> {
        let corrected: Vec<(usize, f64)> = witnesses
            .iter()
            .zip(drift)
            .filter(|(witness, _)| asked(witness))
            .map(|(witness, drift)| (witness.level, witness.logarithm - drift))
            .collect();
        let mut levels: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for &(level, logarithm) in &corrected {
            levels.entry(level).or_default().push(logarithm);
        }
        corrected
            .into_iter()
            .map(|(level, logarithm)| {
                let all = &levels[&level];
                (all.len(), logarithm - median(all.clone()))
            })
            .collect()
    }

    fn scatter(witnesses: &[Witness], drift: &[f64]) -> Option<f64> {
        let distances: Vec<f64> = residuals(witnesses, drift, |witness| witness.measures)
            .into_iter()
            .filter(|&(repeats, _)| repeats >= LEAST_REPEATS)
            .map(|(_, residual)| residual.abs())
            .collect();
        (distances.len() >= LEAST_BLOCKS).then(|| median(distances))
    }
}

/// Attempts of any length, with a drift that the reference follows more or less, or that only neighbours show.
fn series() -> impl Strategy<Value = Vec<Witness>> {
    let block = (0..9_usize, any::<bool>(), -1.0..1.0_f64);
    let attempt = proptest::collection::vec(block, 0..40);
    let shares = (0.0..0.1_f64, 0.0..0.1_f64, 0.0..0.1_f64, 0.1..3.0_f64);
    (proptest::collection::vec(attempt, 0..8), shares).prop_map(
        |(attempts, (noise, drift, seen, pace))| {
            let mut moment = 0.0_f64;
            let blocks = attempts
                .into_iter()
                .enumerate()
                .flat_map(|(attempt, blocks)| blocks.into_iter().map(move |it| (attempt, it)));
            let witnesses = blocks.map(|(attempt, (level, measures, random))| {
                moment += pace;
                Witness {
                    place: (attempt, 0),
                    attempt,
                    level,
                    measures,
                    logarithm: level as f64 + drift * moment.sin() + noise * random,
                    by_reference: seen * moment.sin(),
                }
            });
            witnesses.collect()
        },
    )
}

proptest! {
    #[test]
    fn the_drift_is_what_its_definition_says(witnesses in series()) {
        prop_assert_eq!(learned(&witnesses), plain::learned(&witnesses));
    }
}
