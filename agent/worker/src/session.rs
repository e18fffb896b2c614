//! A network with its data on one device: the production [`Subject`] of the measurements.
//!
//! Data is random and resident, made for the largest batch so far and narrowed for smaller ones. The buffer grows geometrically and only
//! when a batch needs it, so that a batch that does not fit fails alone.

use std::{path::Path, time::Duration};

use batchstep_proto::{
    domain::{Dtype, Mode, Round},
    workload::WorkloadSpec,
};
use tch::{Device, Kind, Tensor};

use crate::{
    cuda::{Driver, EventPair},
    failure::Failure,
    measure::{Subject, host},
    network::{Model, Objective, storage},
    shim,
};

/// Where networks run.
#[derive(Debug)]
pub enum Place {
    /// The host's processors.
    Cpu,
    /// A CUDA device by its position among the visible ones.
    Cuda {
        /// Position.
        index: i32,
        /// The driver.
        driver: Driver,
        /// Its memory.
        memory_bytes: u64,
    },
}

impl Place {
    /// The same for libtorch.
    #[must_use]
    pub fn device(&self) -> Device {
        match self {
            Self::Cpu => Device::Cpu,
            Self::Cuda { index, .. } => Device::Cuda(usize::try_from(*index).unwrap_or(0)),
        }
    }

    /// All of the memory that this process could use there, bytes.
    #[must_use]
    pub fn memory_budget(&self) -> Option<u64> {
        match self {
            Self::Cpu => host::memory_budget_bytes(),
            Self::Cuda { memory_bytes, .. } => Some(*memory_bytes),
        }
    }
}

/// What makes two rounds run the same network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionKey {
    /// The network.
    pub workload: WorkloadSpec,
    /// What an iteration does.
    pub mode: Mode,
    /// Arithmetic.
    pub dtype: Dtype,
    /// Seed of weights and data.
    pub seed: u64,
    /// CPU threads.
    pub threads: Option<u32>,
}

impl SessionKey {
    /// What building the network on `place` and a first iteration with one sample take at least, bytes: weights, in training their gradients,
    /// and the input. Activations are left out, and so are the weights of a TorchScript file, which nobody knows before it is loaded.
    #[must_use]
    pub fn least_bytes(&self, place: &Place) -> u64 {
        let number = storage(self.dtype).elt_size_in_bytes() as u64;
        let draft = Kind::Float.elt_size_in_bytes() as u64;
        let gradient = if self.mode == Mode::Train { number } else { 0 };
        // Weights are drawn in f32 on the processors and then converted, long before there are gradients.
        let beside = match place {
            Place::Cpu if number < draft => gradient.max(draft),
            _ => gradient,
        };
        let parameters = self.workload.parameter_count().unwrap_or(0);
        let sample = self
            .workload
            .input_shape()
            .into_iter()
            .map(u64::from)
            .fold(number, u64::saturating_mul);
        parameters
            .saturating_mul(number + beside)
            .saturating_add(sample)
    }
}

impl From<&Round> for SessionKey {
    fn from(round: &Round) -> Self {
        Self {
            workload: round.workload.clone(),
            mode: round.mode,
            dtype: round.dtype,
            seed: round.seed,
            threads: round.threads,
        }
    }
}

/// Rows of random input and, for training, of targets.
#[derive(Debug)]
struct Data {
    rows: i64,
    input: Tensor,
    target: Option<Tensor>,
}

/// A network, its data, and the batch in use.
pub struct Session<'a> {
    place: &'a Place,
    model: Model,
    seed: u64,
    data: Option<Data>,
    batch: Option<(Tensor, Option<Tensor>)>,
    events: Option<EventPair>,
}

impl<'a> Session<'a> {
    /// Builds the network of `key` on `place`.
    ///
    /// # Errors
    /// When the network cannot be built there.
    pub fn build(place: &'a Place, key: &SessionKey) -> Result<Self, Failure> {
        Self::build_from(place, key, None)
    }

    /// The same with the file of the network where the workload names one by its digest.
    ///
    /// # Errors
    /// As [`Session::build`], and where such a file is missing.
    pub fn build_from(
        place: &'a Place,
        key: &SessionKey,
        file: Option<&Path>,
    ) -> Result<Self, Failure> {
        if let Place::Cpu = place {
            host::keep_freed_memory();
            if let Some(threads) = key.threads {
                tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
            }
        }
        let device = place.device();
        let model = Model::build(&key.workload, key.mode, key.dtype, device, key.seed, file)?;
        let events = match place {
            Place::Cpu => None,
            Place::Cuda { driver, .. } => {
                // The first operation on the device makes its context; a network without parameters has not done that yet.
                let _context = Tensor::f_zeros([1], (Kind::Float, place.device()))?;
                Some(EventPair::new(*driver)?)
            }
        };
        Ok(Self {
            place,
            model,
            seed: key.seed,
            data: None,
            batch: None,
            events,
        })
    }

    /// The network.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// One iteration on the prepared batch; its loss or output.
    ///
    /// # Errors
    /// What libtorch says, and before [`Subject::prepare`].
    pub fn step(&self) -> Result<Tensor, Failure> {
        let (input, target) = self
            .batch
            .as_ref()
            .ok_or_else(|| Failure::workload("no batch was prepared"))?;
        self.model.iterate(input, target.as_ref())
    }

    fn make_data(&self, rows: i64) -> Result<Data, Failure> {
        let device = self.place.device();
        tch::manual_seed(self.seed.wrapping_add(1).cast_signed());
        let shape = |sample: &[i64]| [&[rows], sample].concat();
        let mut input =
            Tensor::f_empty(shape(self.model.input_shape()), (self.model.kind(), device))?;
        let input = input.f_normal_(0.0, self.model.input_scale())?;
        let target = match self.model.objective() {
            Objective::None => None,
            Objective::Class(classes) => {
                Some(Tensor::f_randint(*classes, [rows], (Kind::Int64, device))?)
            }
            Objective::Values(sample) => {
                Some(Tensor::f_randn(shape(sample), (self.model.kind(), device))?)
            }
        };
        Ok(Data {
            rows,
            input,
            target,
        })
    }
}

impl Subject for Session<'_> {
    fn prepare(&mut self, batch_size: u32) -> Result<(), Failure> {
        let rows = i64::from(batch_size);
        self.batch = None;
        let data = match self.data.take() {
            Some(data) if data.rows >= rows => data,
            smaller => {
                let grown = smaller.map_or(0, |data| data.rows * 3 / 2);
                // The old rows are gone before the new ones are made.
                self.make_data(rows.max(grown))
                    .or_else(|_| self.make_data(rows))?
            }
        };
        self.batch = Some((
            data.input.f_narrow(0, 0, rows)?,
            data.target
                .as_ref()
                .map(|target| target.f_narrow(0, 0, rows))
                .transpose()?,
        ));
        self.data = Some(data);
        Ok(())
    }

    fn iterate(&mut self) -> Result<(), Failure> {
        self.step().map(drop)
    }

    fn synchronize(&mut self) -> Result<(), Failure> {
        match self.place {
            Place::Cpu => Ok(()),
            Place::Cuda { driver, .. } => driver.synchronize(),
        }
    }

    fn begin_device_clock(&mut self) -> Result<(), Failure> {
        self.events.as_ref().map_or(Ok(()), EventPair::begin)
    }

    fn end_device_clock(&mut self) -> Result<(), Failure> {
        self.events.as_ref().map_or(Ok(()), EventPair::end)
    }

    fn device_elapsed(&mut self) -> Result<Option<Duration>, Failure> {
        self.events
            .as_ref()
            .map(|events| events.seconds().map(Duration::from_secs_f64))
            .transpose()
    }

    fn release(&mut self) {
        self.batch = None;
        self.data = None;
        if let Place::Cuda { .. } = self.place {
            // A failure to give memory back shows again at the next allocation.
            let _ = shim::cuda_empty_cache();
        }
    }

    fn reset_peak_memory(&mut self) {
        match self.place {
            Place::Cpu => {
                host::return_freed_memory();
                host::reset_peak_resident();
            }
            Place::Cuda { index, .. } => {
                // Without statistics the peak is merely unknown.
                let _ = shim::cuda_reset_peak(*index);
            }
        }
    }

    fn peak_memory(&mut self) -> Option<u64> {
        match self.place {
            Place::Cpu => host::peak_resident_bytes(),
            Place::Cuda { index, .. } => shim::cuda_peak_bytes(*index).ok(),
        }
    }

    fn memory_budget(&mut self) -> Option<u64> {
        self.place.memory_budget()
    }

    fn foreign_load(&self) -> Option<host::LoadMark> {
        match self.place {
            Place::Cpu => host::LoadMark::now(),
            Place::Cuda { .. } => None,
        }
    }
}
