//! What happens in the simulated labs, and what should be told of it.

use batchstep_judge::Kind;

use crate::simulator::{Happening, What};

/// Something that happens to one model of a lab.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    /// To whom.
    pub whom: Whom,
    pub what: What,
    /// For so many nights; `None`: for good.
    pub lasts: Option<u32>,
    /// What is counted as having been told.
    pub told: Kind,
    /// Which verdict of that kind.
    pub by: By,
}

/// To whom something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    Device,
    Model,
    /// A host's devices.
    Host,
}

/// Whose verdict counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The series', silenced or not.
    Series,
    Model,
    /// The host's or the device's as a whole.
    Place,
}

/// The device to which things happen, where it is one.
pub const DEVICE: usize = 3;

/// The shift of this case is each series' own smallest detectable one.
pub const OWN: f64 = f64::NAN;

pub const CASES: [Case; 19] = [
    device("device 3 % slower", What::Slower(0.03), Kind::Confirmed),
    device("device 5 % slower", What::Slower(0.05), Kind::Confirmed),
    device("device 8 % slower", What::Slower(0.08), Kind::Confirmed),
    device("device 15 % slower", What::Slower(0.15), Kind::Confirmed),
    device(
        "device slower by its own smallest detectable shift",
        What::Slower(OWN),
        Kind::Confirmed,
    ),
    device(
        "device 8 % slower by its clock",
        What::Clock(0.08),
        Kind::Confirmed,
    ),
    device("device 8 % faster", What::Slower(-0.08), Kind::Improved),
    Case {
        lasts: Some(1),
        ..device(
            "spike of 15 % on one night",
            What::Slower(0.15),
            Kind::Confirmed,
        )
    },
    Case {
        lasts: Some(5),
        ..device(
            "device throttled for five nights",
            What::Throttled,
            Kind::Confirmed,
        )
    },
    device("creep of 0.3 % a night", What::Creep(0.003), Kind::Drift),
    Case {
        whom: Whom::Model,
        by: By::Model,
        ..device("model 3 % slower", What::Slower(0.03), Kind::ModelWide)
    },
    Case {
        whom: Whom::Model,
        by: By::Model,
        ..device("model 5 % slower", What::Slower(0.05), Kind::ModelWide)
    },
    Case {
        whom: Whom::Model,
        ..device(
            "driver of a model, no shift",
            What::Driver(0.0),
            Kind::ChangedWithEnvironment,
        )
    },
    Case {
        whom: Whom::Model,
        ..device(
            "driver of a model, 8 % slower",
            What::Driver(0.08),
            Kind::ChangedWithEnvironment,
        )
    },
    device(
        "driver of one device, no shift",
        What::Driver(0.0),
        Kind::ChangedWithEnvironment,
    ),
    device(
        "driver of one device, 8 % slower",
        What::Driver(0.08),
        Kind::ChangedWithEnvironment,
    ),
    device("step from 16 to 24", What::Step(24.0), Kind::StepChanged),
    Case {
        whom: Whom::Host,
        by: By::Place,
        lasts: Some(5),
        ..device("host lost for five nights", What::Lost, Kind::Missing)
    },
    Case {
        by: By::Place,
        lasts: Some(5),
        ..device("device lost for five nights", What::Lost, Kind::Missing)
    },
];

const fn device(name: &'static str, what: What, told: Kind) -> Case {
    Case {
        name,
        whom: Whom::Device,
        what,
        lasts: None,
        told,
        by: By::Series,
    }
}

impl Case {
    /// What happens from a night on, the shift of [`OWN`] being `own`.
    pub fn happenings(&self, from: u32, model: usize, own: f64) -> Vec<Happening> {
        let what = match self.what {
            What::Slower(share) if share.is_nan() => What::Slower(own),
            what => what,
        };
        let until = self.lasts.map_or(u32::MAX, |nights| from + nights);
        let one = |device| Happening::new(from, model, device, what).until(until);
        match self.whom {
            Whom::Device => vec![one(Some(DEVICE))],
            Whom::Model => vec![one(None)],
            Whom::Host => (0..crate::simulator::HOST_DEVICES)
                .map(|device| one(Some(device)))
                .collect(),
        }
    }

    /// The devices whose series are looked at.
    pub fn devices(&self) -> Vec<usize> {
        match (self.whom, self.by) {
            (Whom::Device, _) => vec![DEVICE],
            (_, By::Series) => (0..crate::quiet::LAB.devices).collect(),
            (_, By::Model | By::Place) => vec![0],
        }
    }
}
