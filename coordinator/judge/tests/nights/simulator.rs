//! Nights of a lab that never existed, drawn from a seed: known noise, and known things that happen. Used by the tests here and by `examples/validate`; it knows the
//! judge from outside only.

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

/// Something that happens on the nights `from..until`.
#[derive(Debug, Clone, Copy)]
pub struct Happening {
    pub from: u32,
    pub until: u32,
    pub model: usize,
    /// One device, or all of the model.
    pub device: Option<usize>,
    pub what: What,
}

/// What happens. Shares are relative: 0.08 takes 8 % more time.
#[derive(Debug, Clone, Copy)]
pub enum What {
    /// Slower by this share.
    Slower(f64),
    /// Each night slower than the one before by this share.
    Creep(f64),
    /// The clock is lower, and the time longer, by this share.
    Clock(f64),
    /// Another driver, slower by this share.
    Driver(f64),
    /// Another step, samples.
    Step(f64),
    /// Does not report.
    Lost,
    /// Reports clocks that were held down.
    Throttled,
}

impl Happening {
    pub const fn new(from: u32, model: usize, device: Option<usize>, what: What) -> Self {
        Self {
            from,
            until: u32::MAX,
            model,
            device,
            what,
        }
    }

    pub const fn until(mut self, until: u32) -> Self {
        self.until = until;
        self
    }

    fn is_of(&self, night: u32, model: usize, device: usize) -> bool {
        let is_on = self.from <= night && night < self.until;
        is_on && self.model == model && self.device.is_none_or(|it| it == device)
    }
}

/// Batch sizes of the schedule.
const BATCH_SIZES: [u32; 4] = [32, 64, 96, 128];
/// Devices of a host; the rest of a model's are on others.
pub const HOST_DEVICES: usize = 4;
/// Share of a night's variance that both measurements of the night have in common.
const SHARED: f64 = 0.8;
/// Spread of the batch sizes of one measurement around each other, in spreads of nights.
const OF_BATCH_SIZES: f64 = 0.3;
/// Nights whose step is not found, and those on which another is.
const STEP_UNKNOWN: f64 = 0.02;
const STEP_WRONG: f64 = 0.003;
const STEP: f64 = 16.0;
const CLOCK_MHZ: f64 = 1500.0;

/// A lab and its books.
pub struct World {
    lab: Lab,
    pub policy: Policy,
    random: ChaCha8Rng,
    /// Of each device from its model's mean, a logarithm.
    silicon: Vec<f64>,
    /// Last night's noise, for the kind that remembers it.
    memory: Vec<f64>,
    pub books: Books,
    pub night: u32,
    /// Series that were measured again last night.
    pub again: usize,
    /// There is never time to measure again.
    pub is_hurried: bool,
}

/// What is true of a series on a night.
struct Truth {
    shift: f64,
    clock: f64,
    step: f64,
    driver: usize,
    is_lost: bool,
    is_throttled: bool,
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
            again: 0,
            is_hurried: false,
        }
    }

    /// The next night with what happens on it, as it is judged at its end.
    pub fn next(&mut self, happenings: &[Happening]) -> Judgement {
        self.night += 1;
        let mut night = Night {
            number: self.night,
            day: 20_000 + self.night.cast_signed(),
            series: BTreeMap::new(),
        };
        let mut second = BTreeMap::new();
        for model in 0..self.lab.models {
            for device in 0..self.lab.devices {
                let truth = self.truth(model, device, happenings);
                let (tonight, again) = self.tonight(model, device, &truth);
                second.insert(series(model, device), again);
                night.series.insert(series(model, device), tonight);
            }
        }
        let first = judge(&self.policy, &self.books, &night);
        self.again = first.again.len();
        let judgement = if first.again.is_empty() || self.is_hurried {
            first
        } else {
            measure_again(&mut night, &first.again, &second);
            judge(&self.policy, &self.books, &night)
        };
        self.books = judgement.books.clone();
        judgement
    }

    fn truth(&self, model: usize, device: usize, happenings: &[Happening]) -> Truth {
        let mut truth = Truth {
            shift: self.silicon[model * self.lab.devices + device],
            clock: CLOCK_MHZ,
            step: STEP,
            driver: 0,
            is_lost: false,
            is_throttled: false,
        };
        let on = happenings
            .iter()
            .filter(|it| it.is_of(self.night, model, device));
        for happening in on {
            match happening.what {
                What::Slower(share) => truth.shift += share.ln_1p(),
                What::Creep(share) => {
                    truth.shift += share * f64::from(self.night - happening.from + 1)
                }
                What::Clock(share) => {
                    truth.shift += share.ln_1p();
                    truth.clock /= 1.0 + share;
                }
                What::Driver(share) => {
                    truth.shift += share.ln_1p();
                    truth.driver += 1;
                }
                What::Step(step) => truth.step = step,
                What::Lost => truth.is_lost = true,
                What::Throttled => truth.is_throttled = true,
            }
        }
        truth
    }

    fn tonight(&mut self, model: usize, device: usize, truth: &Truth) -> (Tonight, Measurement) {
        let common = self.common(model * self.lab.devices + device);
        let (first, again) = (self.measured(truth, common), self.measured(truth, common));
        let environment = Environment(BTreeMap::from([
            (Property::Driver, format!("580.{}", truth.driver)),
            (Property::Ecc, "on".to_owned()),
        ]));
        let observation = if truth.is_lost {
            Observation::Missing
        } else if truth.is_throttled {
            Observation::Invalid {
                why: batchstep_judge::Invalidity::Throttled,
            }
        } else {
            Observation::Measured {
                environment,
                first,
                again: None,
            }
        };
        let tonight = Tonight {
            group: group(model),
            device: self::device(model, device),
            host: host(model, device),
            observation,
        };
        (tonight, again)
    }

    fn measured(&mut self, truth: &Truth, common: f64) -> Measurement {
        let (lab, random) = (self.lab, &mut self.random);
        let own = lab.spread * (1.0 - SHARED).sqrt() * normal(random);
        let chance: f64 = random.random();
        let step = if chance < STEP_UNKNOWN {
            Step::Unknown
        } else if chance < STEP_UNKNOWN + STEP_WRONG {
            Step::Period(truth.step * 2.0)
        } else {
            Step::Period(truth.step)
        };
        let level = truth.shift + common + own;
        let log_seconds = BATCH_SIZES.iter().map(|size| {
            let of_size = OF_BATCH_SIZES * lab.spread * normal(random);
            (*size, f64::from(*size).ln() - 9.0 + level + of_size)
        });
        Measurement {
            log_seconds: log_seconds.collect(),
            sm_clock_mhz: Some(truth.clock),
            step,
        }
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

/// Its group.
pub fn group(model: usize) -> Group {
    Group {
        model: format!("model {model:02}"),
        workload: "linear".to_owned(),
    }
}

/// Its device.
pub fn device(model: usize, device: usize) -> String {
    format!("GPU-{model:02}-{device}")
}

/// Its host.
pub fn host(model: usize, device: usize) -> String {
    format!("host {model:02}-{}", device / HOST_DEVICES)
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
