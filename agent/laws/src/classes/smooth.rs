//! Laws without a step: smooth ones, and algorithms switched at random.

use super::{Class, Draw, Truth, dense, line, paired, quirks};
use crate::{Bump, Comb, Law, PowerCap, Random, Scatter, Switch, Wave};

/// Factors on the time by which libraries are known to change when they switch.
const FACTORS: [f64; 6] = [0.7, 0.85, 0.93, 1.08, 1.2, 1.4];

pub(super) fn draw(class: Class, r: &mut Random) -> Draw {
    let last = f64::from(r.whole(40, 256));
    let base = line(r, last / 2.0, 0.05, 0.8);
    let law = match class {
        Class::FloorThenLinear => {
            let floor = base.seconds((r.uniform(0.1, 0.6) * last) as u32);
            Law { floor, ..base }
        }
        Class::Convex => Law {
            square: base.slope * r.uniform(0.2, 2.0) / last,
            ..base
        },
        Class::Concave => {
            let concave_power = r.uniform(0.3, 0.9);
            Law {
                constant: base.constant,
                concave: (1.0 - base.constant) / last.powf(concave_power),
                concave_power,
                ..Law::default()
            }
        }
        Class::Flat => Law {
            constant: 1.0,
            ..Law::default()
        },
        Class::OneSwitch => switched(r, base, last, 1),
        Class::TwoSwitches => switched(r, base, last, 2),
        Class::ManySwitches => {
            let count = r.whole(3, 6);
            switched(r, base, last, count)
        }
        Class::CloseSwitches => {
            let mut law = switched(r, base, last, 1);
            let Switch { after, factor } = law.switches[0];
            law.switches.push(Switch {
                after: after + r.whole(1, 9),
                factor: r.pick(&[1.0 / factor, 0.9, 1.15]),
            });
            law
        }
        Class::FineCombs => {
            let combs = (0..6)
                .map(|_| Comb {
                    period: r.uniform(1.5, 12.0),
                    offset: 0.0,
                    jump: r.uniform(0.0005, 0.002),
                    level: true,
                })
                .collect();
            Law { combs, ..base }
        }
        Class::SmoothBumps => {
            let bumps = (0..r.whole(2, 6))
                .map(|_| Bump {
                    center: r.uniform(0.0, 1.0) * last,
                    width: r.uniform(0.03, 0.2) * last,
                    rise: r.uniform(-0.2, 0.2),
                })
                .collect();
            Law {
                bumps,
                // Falls must not reach below zero.
                constant: base.constant + 1.2,
                ..base
            }
        }
        Class::Ripples => Law {
            waves: vec![Wave {
                length: r.uniform(12.0, 24.0),
                power: r.pick(&[0.5, 1.4, 2.0]),
                size: 0.02,
            }],
            ..base
        },
        Class::QuirkyLine => {
            let sigma = r.scale(0.002, 0.02);
            Law {
                remainders: vec![quirks(r, sigma)],
                ..base
            }
        }
        Class::PairedGridSmooth => match r.whole(0, 3) {
            0 => base,
            1 => switched(r, base, last, 1),
            2 => switched(r, base, last, 2),
            _ => Law {
                square: base.slope * r.uniform(0.2, 2.0) / last,
                ..base
            },
        },
        Class::PowerCappedLine => Law {
            power_cap: Some(PowerCap {
                from: r.uniform(0.1, 0.8) * last,
                slowdown: r.uniform(1.05, 1.3),
            }),
            ..base
        },
        _ => base,
    };
    let sizes = if class == Class::PairedGridSmooth {
        let period = f64::from(r.whole(6, 24));
        paired(period, 2.2 * period, (8.0 * period).min(last))
    } else {
        dense(last)
    };
    Draw {
        law,
        sizes,
        scatter: Scatter::default(),
        truth: Truth::NoStep,
    }
}

fn switched(r: &mut Random, mut law: Law, last: f64, count: u32) -> Law {
    law.switches = (0..count)
        .map(|_| Switch {
            after: (r.uniform(0.1, 0.9) * last) as u32,
            factor: r.pick(&FACTORS),
        })
        .collect();
    law
}
