//! Nights of a lab that never existed, drawn from a seed: known noise, and known things that happen to it.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_judge::{
    Books, Environment, Group, Judgement, Measurement, Night, Observation, Policy, Property, Step,
    Tonight, judge,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// How a series' nights differ where nothing happens; each kind has the same standard deviation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noise {
    Gaussian,
    /// Student's t with three degrees of freedom: heavy tails.
    HeavyTails,
    /// Each night remembers 0.6 of the one before.
    Autocorrelated,
    /// Two levels 1.6 standard deviations apart, the upper one on three of ten nights.
    Bimodal,
}

impl Noise {
    pub const ALL: [Self; 4] = [
        Self::Gaussian,
        Self::HeavyTails,
        Self::Autocorrelated,
        Self::Bimodal,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Gaussian => "gaussian",
            Self::HeavyTails => "t3",
            Self::Autocorrelated => "autocorrelated",
            Self::Bimodal => "bimodal",
        }
    }
}

/// A lab: `models` models of `devices` devices each, with one workload.
#[derive(Debug, Clone, Copy)]
pub struct Lab {
    pub models: usize,
    pub devices: usize,
    /// Standard deviation of a series' nights, a share.
    pub spread: f64,
    /// Of the devices of a model from each other, a share.
    pub silicon: f64,
    pub noise: Noise,
}

/// What happens from a night on.
#[derive(Debug, Clone, Copy)]
pub enum Happening {
    /// A device takes this share more.
    Device {
        model: usize,
        device: usize,
        shift: f64,
    },
    /// All devices of a model do.
    Model { model: usize, shift: f64 },
    /// The driver of a model's devices is another, and they take this share more.
    Driver { model: usize, shift: f64 },
    /// A device's step is another.
    Step {
        model: usize,
        device: usize,
        period: f64,
    },
    /// A model's devices do not report.
    Lost { model: usize },
    /// A device takes this share more each night.
    Creep {
        model: usize,
        device: usize,
        shift: f64,
    },
}

/// Batch sizes of the schedule.
const BATCH_SIZES: [u32; 4] = [32, 64, 96, 128];
/// Share of a night's variance that both measurements of the night have in common.
const SHARED: f64 = 0.8;
/// Nights whose step is not found, and those on which another is.
const STEP_UNKNOWN: f64 = 0.02;
const STEP_WRONG: f64 = 0.003;

/// A lab and its books.
pub struct World {
    lab: Lab,
    policy: Policy,
    random: ChaCha8Rng,
    /// Of each device from its model's mean, a logarithm.
    silicon: Vec<f64>,
    /// Last night's noise, for the kind that remembers it.
    memory: Vec<f64>,
    pub books: Books,
    pub night: u32,
}

impl World {
    pub fn new(lab: Lab, seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let series = lab.models * lab.devices;
        let silicon = (0..series)
            .map(|_| lab.silicon * normal(&mut random))
            .collect();
        Self {
            lab,
            policy: Policy::default(),
            random,
            silicon,
            memory: vec![0.0; series],
            books: Books::default(),
            night: 0,
        }
    }

    /// The next night with what has happened by it, as it is judged at its end.
    pub fn next(&mut self, happenings: &[(u32, Happening)]) -> Judgement {
        self.night += 1;
        let happened: Vec<(u32, Happening)> = happenings
            .iter()
            .filter(|(since, _)| *since <= self.night)
            .copied()
            .collect();
        let mut night = Night {
            number: self.night,
            series: BTreeMap::new(),
        };
        let mut second = BTreeMap::new();
        for model in 0..self.lab.models {
            for device in 0..self.lab.devices {
                let name = series(model, device);
                let (tonight, again) = self.tonight(model, device, &happened);
                second.insert(name.clone(), again);
                night.series.insert(name, tonight);
            }
        }
        let first = judge(&self.policy, &self.books, &night);
        let judgement = if first.again.is_empty() {
            first
        } else {
            measure_again(&mut night, &first.again, &second);
            judge(&self.policy, &self.books, &night)
        };
        self.books = judgement.books.clone();
        judgement
    }

    fn tonight(
        &mut self,
        model: usize,
        device: usize,
        happened: &[(u32, Happening)],
    ) -> (Tonight, Measurement) {
        let index = model * self.lab.devices + device;
        let common = self.common(index);
        let (mut shift, mut period, mut driver, mut lost) = (self.silicon[index], 16.0, 0, false);
        for (since, happening) in happened {
            match *happening {
                Happening::Device {
                    model: m,
                    device: d,
                    shift: s,
                } if (m, d) == (model, device) => shift += s.ln_1p(),
                Happening::Creep {
                    model: m,
                    device: d,
                    shift: s,
                } if (m, d) == (model, device) => {
                    shift += s * f64::from(self.night - since);
                }
                Happening::Step {
                    model: m,
                    device: d,
                    period: p,
                } if (m, d) == (model, device) => period = p,
                Happening::Model { model: m, shift: s } if m == model => shift += s.ln_1p(),
                Happening::Driver { model: m, shift: s } if m == model => {
                    shift += s.ln_1p();
                    driver += 1;
                }
                Happening::Lost { model: m } if m == model => lost = true,
                _ => {}
            }
        }
        let mut measured = || {
            let own = self.lab.spread * (1.0 - SHARED).sqrt() * normal(&mut self.random);
            let chance: f64 = self.random.random();
            let step = if chance < STEP_UNKNOWN {
                Step::Unknown
            } else if chance < STEP_UNKNOWN + STEP_WRONG {
                Step::Period(period * 2.0)
            } else {
                Step::Period(period)
            };
            let log_seconds = BATCH_SIZES
                .iter()
                .map(|size| (*size, f64::from(*size).ln() - 9.0 + shift + common + own))
                .collect();
            Measurement {
                log_seconds,
                sm_clock_mhz: Some(1500.0),
                step,
            }
        };
        let (first, again) = (measured(), measured());
        let environment = Environment(BTreeMap::from([(
            Property::Driver,
            format!("580.{driver}"),
        )]));
        let observation = if lost {
            Observation::Missing
        } else {
            Observation::Measured {
                environment,
                first,
                again: None,
            }
        };
        let group = Group {
            model: format!("model {model:02}"),
            workload: "linear".to_owned(),
        };
        (Tonight { group, observation }, again)
    }

    /// What both measurements of a night have in common.
    fn common(&mut self, index: usize) -> f64 {
        const MEMORY: f64 = 0.6;
        let scale = self.lab.spread * SHARED.sqrt();
        let random = &mut self.random;
        scale
            * match self.lab.noise {
                Noise::Gaussian => normal(random),
                Noise::HeavyTails => {
                    let squares: f64 = (0..3).map(|_| normal(random).powi(2)).sum();
                    normal(random) / (squares / 3.0).sqrt() / 3.0_f64.sqrt()
                }
                Noise::Autocorrelated => {
                    let fresh = (1.0 - MEMORY * MEMORY).sqrt() * normal(random);
                    self.memory[index] = MEMORY * self.memory[index] + fresh;
                    self.memory[index]
                }
                Noise::Bimodal => {
                    let (apart, upper) = (1.6, 0.3);
                    let level = if random.random::<f64>() < upper {
                        apart * (1.0 - upper)
                    } else {
                        -apart * upper
                    };
                    let rest: f64 = 1.0 - apart * apart * upper * (1.0 - upper);
                    level + rest.sqrt() * normal(random)
                }
            }
    }
}

/// Name of a series.
pub fn series(model: usize, device: usize) -> String {
    format!("{model:02}/{device}")
}

fn measure_again(
    night: &mut Night,
    wanted: &BTreeSet<String>,
    second: &BTreeMap<String, Measurement>,
) {
    for name in wanted {
        if let Some(Tonight {
            observation: Observation::Measured { again, .. },
            ..
        }) = night.series.get_mut(name)
        {
            *again = second.get(name).cloned();
        }
    }
}

/// Box and Muller.
fn normal(random: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}
