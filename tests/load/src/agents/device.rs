//! A device that pretends: what it is called, and what its rounds come to. Pure but for its seeded noise.

use batchstep_proto::{domain::AttemptReport, wire};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Device time of a block, nanoseconds: 32 of them are a round that the planner leaves whole.
const BLOCK_NS: u64 = 200_000_000;
/// Time of an iteration for each started group of four samples, nanoseconds.
const WAVE_NS: u64 = 2_000_000;
/// Relative noise: with so much no batch size is ever precise, so a series goes on until each has fifty blocks.
const NOISE: f64 = 0.2;

/// The device an agent offers.
pub fn describe(number: u32) -> wire::Device {
    wire::Device {
        id: format!("SIM-{number:05}"),
        kind: wire::DeviceKind::Simulated as i32,
        model: "Light".to_owned(),
        compute_units: Some(132),
        memory_bytes: Some(80 << 30),
        ..wire::Device::default()
    }
}

/// The law of a device.
pub struct Device {
    noise: ChaCha8Rng,
}

impl Device {
    pub fn new(number: u32) -> Self {
        Self {
            noise: ChaCha8Rng::seed_from_u64(u64::from(number)),
        }
    }

    /// A part of an attempt in which every visit has its block.
    pub fn report(
        &mut self,
        assignment: &wire::Assignment,
        part: u32,
        last: bool,
    ) -> wire::AttemptReport {
        let round = assignment.round.clone().unwrap_or_default();
        let mut after = 0;
        let blocks: Vec<wire::Block> = (0_u32..)
            .zip(&round.visits)
            .map(|(position, visit)| {
                let block = self.block(position, visit, after);
                after += block.elapsed_ns + block.warm_up_ns;
                block
            })
            .collect();
        wire::AttemptReport {
            attempt_id: assignment.attempt_id.clone(),
            round_id: round.round_id,
            part,
            r#final: last,
            outcome: if last {
                wire::AttemptOutcome::Finished as i32
            } else {
                0
            },
            measuring_ns: blocks.iter().map(|block| block.elapsed_ns).sum(),
            warm_up_ns: blocks.iter().map(|block| block.warm_up_ns).sum(),
            elapsed_ns: after,
            blocks,
            facts: Some(wire::WorkerFacts {
                software: Some(wire::Software {
                    libtorch: Some("2.11.0".to_owned()),
                    ..wire::Software::default()
                }),
                ..wire::WorkerFacts::default()
            }),
            ..wire::AttemptReport::default()
        }
    }

    fn block(&mut self, position: u32, visit: &wire::Visit, after: u64) -> wire::Block {
        let iteration = WAVE_NS * u64::from(visit.batch_size.div_ceil(4));
        let iterations = visit
            .iterations
            .unwrap_or_else(|| u32::try_from(BLOCK_NS / iteration).unwrap_or(u32::MAX))
            .max(1);
        let noise = self.noise.random_range(1.0..1.0 + NOISE);
        let elapsed = (iteration * u64::from(iterations)) as f64 * noise;
        wire::Block {
            visit: position,
            batch_size: visit.batch_size,
            role: visit.role,
            iterations,
            elapsed_ns: elapsed as u64,
            device_ns: Some((elapsed * 0.998) as u64),
            started_after_ns: after,
            warm_up_iterations: 3,
            warm_up_ns: 3 * iteration,
            foreign_cores: Some(0.01 * noise),
            peak_memory_bytes: Some(1 << 30),
            temperature_celsius: Some(61.0),
            power_watts: Some(300.0 * noise),
            sm_clock_mhz: Some(1980.0),
            throttle_reasons: Some(0),
            foreign_processes: Some(0),
        }
    }

    /// A number in 0..1.
    pub fn random(&mut self) -> f64 {
        self.noise.random()
    }
}

/// The report of an attempt that was called back before it began.
pub fn stopped(assignment: &wire::Assignment) -> wire::AttemptReport {
    let round = assignment.round.as_ref();
    wire::AttemptReport {
        attempt_id: assignment.attempt_id.clone(),
        round_id: round.map_or_else(String::new, |round| round.round_id.clone()),
        r#final: true,
        outcome: wire::AttemptOutcome::Stopped as i32,
        message: "called back before it began".to_owned(),
        ..wire::AttemptReport::default()
    }
}

/// A report as it is sent.
pub fn request(agent_id: &str, report: wire::AttemptReport) -> wire::ReportAttemptRequest {
    wire::ReportAttemptRequest {
        agent_id: agent_id.to_owned(),
        digest: AttemptReport::digest(&report).to_vec(),
        report: Some(report),
    }
}
