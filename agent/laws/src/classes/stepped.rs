//! Laws with a step, and measurements of them that can or cannot show it.
//!
//! The effect is drawn from 2 to 60 % of the time at the third period, log-uniform: the law passes 1 there before its step is added.

use super::{Class, Draw, Truth, dense, line, paired, quirks};
use crate::{Comb, Law, PowerCap, Random, Remainder, Scatter, Switch};

/// Effects below this are lost where something else of about their size goes on.
const CLEAR_EFFECT: f64 = 0.03;

/// Longest range measured, but for long periods.
const LONGEST_RANGE: f64 = 288.0;
const LONGEST_OF_LONG: f64 = 512.0;

pub(super) fn draw(class: Class, r: &mut Random) -> Draw {
    let effect = r.scale(0.02, 0.6);
    let period = f64::from(r.whole(4, 32));
    match class {
        Class::ProfileRising
        | Class::ProfileFalling
        | Class::ProfileAlternating
        | Class::ProfileRandom
        | Class::DominantAlternation
        | Class::Alternation
        | Class::ProportionalRemainder => profile(class, r, effect),
        Class::PeriodInPeriod => nested(r, effect),
        Class::FivePoints | Class::BlindGrid => unresolved(class, r, effect),
        _ => single(class, r, effect, period),
    }
}

fn comb(period: f64, offset: f64, jump: f64) -> Comb {
    Comb {
        period,
        offset,
        jump,
        level: true,
    }
}

/// Laws with one comb, alone or beside others.
fn single(class: Class, r: &mut Random, effect: f64, period: f64) -> Draw {
    let mut scatter = Scatter::default();
    let mut offset = 0.0;
    let (period, effect) = match class {
        Class::Staircase => (period, effect.min(0.3)),
        Class::EvenGrid => (2.0 * f64::from(r.whole(3, 16)), effect),
        Class::EveryFourthGrid => (4.0 * f64::from(r.whole(3, 10)), effect),
        Class::OffsetGrid => (period.max(12.0), effect.max(CLEAR_EFFECT)),
        Class::FloorThenStaircase => (period.min(20.0), effect),
        Class::Fractional => {
            let units = r.pick(&[132.0, 108.0, 80.0, 46.0, 68.0, 84.0, 142.0]);
            (units / r.pick(&[3.0, 5.0, 7.0, 9.0, 11.0]), effect)
        }
        Class::Offset => (period.max(6.0), effect),
        Class::Network => (f64::from(r.whole(12, 40)), effect.max(CLEAR_EFFECT)),
        Class::TwoCombs => (f64::from(r.whole(9, 30)), effect.max(CLEAR_EFFECT)),
        Class::LongPeriod => (f64::from(r.whole(33, 96)), effect.max(CLEAR_EFFECT)),
        // The quirks are a tenth of it.
        Class::QuirkyStaircase => (period.max(6.0), effect.max(0.05)),
        Class::PairedGrid => (period.max(6.0), effect.max(CLEAR_EFFECT)),
        Class::SharedHost => (period, effect.max(0.1)),
        Class::StaircaseWithSwitch
        | Class::PowerCappedStaircase
        | Class::LateWindow
        | Class::HeavyTails
        | Class::QuantisedClock => (period, effect.max(CLEAR_EFFECT)),
        _ => (period, effect),
    };
    let periods = match class {
        Class::ThreeEdges => 3.0 + r.uniform(0.4, 0.9),
        Class::FloorThenStaircase => 8.5,
        Class::PairedGrid => r.uniform(5.5, 9.0),
        Class::LateWindow | Class::PowerCappedStaircase | Class::OffsetGrid => r.uniform(5.0, 9.0),
        _ => r.uniform(4.3, 9.0),
    };
    let mut law = match class {
        Class::Staircase => Law {
            constant: 1.0 - 3.0 * effect,
            ..Law::default()
        },
        Class::FloorThenStaircase => line(r, 3.0 * period, 0.02, 0.3),
        _ => line(r, 3.0 * period, 0.05, 0.8),
    };
    let mut first = 1.0;
    match class {
        Class::Staircase => law.combs.push(Comb {
            period,
            offset,
            jump: effect,
            level: false,
        }),
        Class::Sawtooth => law.remainders.push(sawtooth(r, period as u32, effect)),
        Class::Offset => {
            // An offset of -1 is also a slightly shorter period: no range tells them apart.
            offset = f64::from(r.whole(1, period as u32 - 2));
            law.combs.push(comb(period, offset, effect));
        }
        Class::LongPeriod => {
            if r.chance(0.3) {
                offset = f64::from(r.whole(1, period as u32 - 2));
            }
            law.combs.push(comb(period, offset, effect));
        }
        Class::LateWindow => {
            first = f64::from(r.whole(20, 130));
            law.constant = 1.0;
            // As large a jump as elsewhere, seen late.
            let there = law.seconds(first as u32);
            law.combs.push(comb(period, 0.0, effect * there));
        }
        _ => law.combs.push(comb(period, 0.0, effect)),
    }
    let last = match class {
        Class::Fractional => telling(period, period * periods),
        _ => first - 1.0 + period * periods + offset,
    };
    match class {
        Class::FloorThenStaircase => {
            law.floor = law.seconds((r.uniform(0.5, 3.5) * period) as u32 + 1);
        }
        Class::StaircaseWithSwitch => law.switches.push(Switch {
            after: (r.uniform(0.2, 0.8) * last) as u32,
            factor: r.pick(&[0.85, 0.9, 1.1, 1.2]),
        }),
        Class::Network => {
            for _ in 0..8 {
                let fine = r.uniform(1.5, 7.0);
                law.combs.push(comb(fine, 0.0, 0.06 * effect));
            }
        }
        Class::TwoCombs => {
            let second = unrelated(r, period);
            law.combs
                .push(comb(second, 0.0, effect * r.uniform(0.35, 0.75)));
        }
        Class::PowerCappedStaircase => {
            law.power_cap = Some(PowerCap {
                from: r.uniform(2.0, 5.0) * period,
                slowdown: r.uniform(1.05, 1.3),
            });
        }
        Class::SharedHost => {
            scatter = Scatter {
                sigma: 0.03,
                bursts: 0.05,
                drift: 0.06,
                ..scatter
            };
        }
        Class::QuirkyStaircase => law.remainders.push(quirks(r, effect / 10.0)),
        Class::HeavyTails => scatter.heavy = true,
        // A tick of 1 to 5 per mille of a block of a hundred iterations of a millisecond.
        Class::QuantisedClock => scatter.tick_seconds = r.scale(1e-4, 5e-4),
        _ => {}
    }
    let longest = if class == Class::LongPeriod {
        LONGEST_OF_LONG
    } else {
        LONGEST_RANGE
    };
    let last = last.clamp(20.0, longest);
    let sizes = if class == Class::PairedGrid {
        paired(period, 2.2 * period, last)
    } else {
        grid(class, r, first as u32, last as u32)
    };
    let truth = if class == Class::SharedHost {
        Truth::StepOrInsufficient { period }
    } else {
        Truth::Step { period, offset }
    };
    Draw {
        law,
        sizes,
        scatter,
        truth,
    }
}

/// The batch sizes that a measurement of `class` visits.
fn grid(class: Class, r: &mut Random, first: u32, last: u32) -> Vec<u32> {
    let (first, stride) = match class {
        Class::EvenGrid => (2, 2),
        Class::EveryFourthGrid => (4, 4),
        Class::OffsetGrid => {
            let stride = r.whole(2, 3);
            (r.whole(1, stride), stride)
        }
        _ => (first, 1),
    };
    let missing = if class == Class::MissingPoints {
        0.12
    } else {
        0.0
    };
    (first..=last)
        .step_by(stride as usize)
        .filter(|_| missing == 0.0 || !r.chance(missing))
        .collect()
}

/// A slower path for left-over samples: of one cost, of a falling or of a rising one.
fn sawtooth(r: &mut Random, period: u32, effect: f64) -> Remainder {
    let shape = r.whole(0, 2);
    let p = f64::from(period);
    let extra = (0..period)
        .map(|rest| match (f64::from(rest), shape) {
            (0.0, _) => 0.0,
            (_, 0) => effect,
            (rest, 1) => effect * (1.0 - rest / p),
            (rest, _) => effect * rest / (p - 1.0),
        })
        .collect();
    Remainder {
        extra,
        proportional: false,
    }
}

/// The least range, from `last` on, in which no period more than 1 % away predicts the good batch sizes of `period`, with whatever offset.
fn telling(period: f64, last: f64) -> f64 {
    const TOLD_APART: f64 = 0.01;
    let good = |k: f64, period: f64, offset: f64| (k * period + offset + 1e-9).floor();
    let mimics = |last: f64| {
        let rounds = (last / period) as u32;
        (-60..=60)
            .map(|step| 1.0 + f64::from(step) * 0.001)
            .filter(|ratio| (ratio - 1.0).abs() > TOLD_APART)
            .map(|ratio| {
                if (ratio * period).fract() < 0.02 {
                    (ratio * period).round()
                } else {
                    ratio * period
                }
            })
            .any(|other| {
                (-8..=8)
                    .map(|quarter| f64::from(quarter) / 4.0)
                    .any(|offset| {
                        (1..=rounds).all(|k| {
                            good(f64::from(k), period, 0.0) == good(f64::from(k), other, offset)
                        })
                    })
            })
    };
    let mut last = last;
    while mimics(last) {
        last += period;
    }
    last
}

/// A period that is not close to a multiple or a divisor of `period`.
fn unrelated(r: &mut Random, period: f64) -> f64 {
    loop {
        let other = f64::from(r.whole(5, 35));
        let ratio = (period / other).max(other / period);
        if (ratio - ratio.round()).abs() > 0.12 {
            return other;
        }
    }
}

/// A short period inside a long one.
fn nested(r: &mut Random, effect: f64) -> Draw {
    let short = f64::from(r.whole(4, 8));
    let long = short * f64::from(r.whole(2, 4));
    let ratio = r.pick(&[0.4, 0.6, 1.6, 2.5]);
    let effect = effect.clamp(CLEAR_EFFECT, 0.3);
    let (small, large, period) = if ratio < 1.0 {
        (effect, effect * ratio, short)
    } else {
        (effect / ratio, effect, long)
    };
    let mut law = line(r, 3.0 * long, 0.05, 0.8);
    law.combs = vec![comb(short, 0.0, small), comb(long, 0.0, large)];
    Draw {
        law,
        sizes: dense(long * r.uniform(4.3, 7.0)),
        scatter: Scatter::default(),
        truth: Truth::Step {
            period,
            offset: 0.0,
        },
    }
}

/// Laws with a remainder profile.
fn profile(class: Class, r: &mut Random, effect: f64) -> Draw {
    let length = match class {
        Class::Alternation => 2,
        Class::ProfileAlternating => 2 * r.whole(2, 6),
        Class::DominantAlternation => 2 * r.whole(2, 4),
        _ => r.whole(3, 16),
    };
    let shape: Vec<f64> = (0..length)
        .map(|rest| {
            let x = f64::from(rest) / f64::from(length);
            match class {
                _ if rest == 0 => 0.0,
                Class::ProfileRising => x,
                Class::ProfileFalling => 1.0 - x,
                Class::Alternation => 1.0,
                Class::ProfileAlternating | Class::DominantAlternation if rest % 2 == 1 => 1.0,
                Class::ProfileAlternating => 0.55,
                Class::DominantAlternation => 0.08,
                _ => r.uniform(0.35, 1.0),
            }
        })
        .collect();
    let most = shape.iter().copied().fold(0.0, f64::max);
    let mut law = line(r, f64::from(3 * length), 0.05, 0.8);
    law.remainders.push(Remainder {
        extra: shape.iter().map(|part| effect / most * part).collect(),
        proportional: class == Class::ProportionalRemainder,
    });
    let period = if class == Class::DominantAlternation {
        2
    } else {
        length
    };
    Draw {
        law,
        sizes: dense(f64::from((length * r.whole(6, 12)).max(24))),
        scatter: Scatter::default(),
        truth: Truth::Step {
            period: f64::from(period),
            offset: 0.0,
        },
    }
}

/// Measurements that cannot show the step.
fn unresolved(class: Class, r: &mut Random, effect: f64) -> Draw {
    let period = r.pick(&[4_u32, 8, 16]);
    let sizes = if class == Class::FivePoints {
        vec![8, 16, 32, 48, 64]
    } else {
        (1..=r.whole(14, 24)).map(|k| k * period * 2).collect()
    };
    Draw {
        law: Law {
            constant: 0.4,
            combs: vec![Comb {
                period: f64::from(period),
                offset: 0.0,
                jump: effect,
                level: false,
            }],
            ..Law::default()
        },
        sizes,
        scatter: Scatter::default(),
        truth: Truth::Insufficient,
    }
}
