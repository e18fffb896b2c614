//! What must be true once everything has calmed down: every sweep is over, what the devices did is what is on record, and nobody owes anybody anything.

use std::{collections::BTreeMap, time::Duration};

use batchstep_core::fleet::{AttemptState, SeriesState, SweepState};
use batchstep_proto::ids::AttemptId;

use crate::{
    chronicle::Chronicle,
    executions::{Execution, Timed},
    host::Agent,
    ledger::Ledger,
};

/// What a part of a report may be late by: both are due at the same tick.
const LATE: Duration = Duration::from_millis(500);

/// Checks a world that has come to rest.
pub fn check(
    ledger: &Ledger,
    executions: &BTreeMap<AttemptId, Execution>,
    agents: &[Agent],
    part_interval: Duration,
    chronicle: &Chronicle,
) {
    everything_is_over(ledger, chronicle);
    for (id, execution) in executions {
        on_record(*id, execution, ledger, part_interval, chronicle);
    }
    for (_, report) in &ledger.reports {
        if !report.blocks.is_empty() && !executions.contains_key(&report.attempt) {
            chronicle.violation(format_args!(
                "attempt {} has blocks on record and never ran",
                report.attempt
            ));
        }
    }
    for agent in agents {
        for debt in agent.debts() {
            chronicle.violation(format_args!(
                "agent {} still owes {:?}",
                agent.number,
                debt.file_name().unwrap_or_default()
            ));
        }
        for report in agent.set_aside() {
            chronicle.violation(format_args!(
                "a report of agent {} was refused for good: {:?}",
                agent.number,
                report.file_name().unwrap_or_default()
            ));
        }
    }
}

fn everything_is_over(ledger: &Ledger, chronicle: &Chronicle) {
    for (id, state) in &ledger.sweeps {
        if *state == SweepState::Active {
            chronicle.violation(format_args!("sweep {id} is not over"));
        }
    }
    for (id, (_, state)) in &ledger.series {
        if *state == SeriesState::Waiting {
            chronicle.violation(format_args!("series {id} is not over"));
        }
    }
    for (id, attempt) in &ledger.attempts {
        if matches!(
            attempt.state,
            AttemptState::Assigned | AttemptState::Accepted
        ) {
            chronicle.violation(format_args!("attempt {id} is still out"));
        }
        if !ledger.ended_rounds.contains(&attempt.round) {
            chronicle.violation(format_args!("round {} is not over", attempt.round));
        }
    }
}

/// What a device did is on record: all of it, or what was due for its host's disk when its agent was killed, and that it ended.
fn on_record(
    id: AttemptId,
    execution: &Execution,
    ledger: &Ledger,
    part_interval: Duration,
    chronicle: &Chronicle,
) {
    let reports = || {
        ledger
            .reports
            .iter()
            .map(|(_, report)| report)
            .filter(|report| report.attempt == id)
    };
    let mut stored: Vec<Timed> = reports()
        .flat_map(|report| &report.blocks)
        .map(|block| {
            let elapsed = u64::try_from(block.elapsed.as_nanos()).unwrap_or(u64::MAX);
            (block.visit, block.batch_size, elapsed)
        })
        .collect();
    stored.sort_unstable();
    let mut executed: Vec<Timed> = execution.blocks.iter().map(|(block, _)| *block).collect();
    executed.sort_unstable();
    if let Some(killed) = execution.killed {
        if let Some(invented) = stored.iter().find(|block| !executed.contains(block)) {
            chronicle.violation(format_args!(
                "block {invented:?} of attempt {id} is on record and was never timed"
            ));
        }
        let lost = execution
            .blocks
            .iter()
            .find(|(block, at)| *at + part_interval + LATE < killed && !stored.contains(block));
        if let Some((block, at)) = lost {
            chronicle.violation(format_args!(
                "block {block:?} of attempt {id} was timed at {at:?}, its agent was killed at {killed:?}, and it is not on record"
            ));
        }
    } else if stored != executed {
        chronicle.violation(format_args!(
            "attempt {id} timed {} blocks, and {} are on record",
            executed.len(),
            stored.len()
        ));
    }
    if execution.ended.is_none() && execution.killed.is_none() {
        chronicle.violation(format_args!("attempt {id} still runs"));
    }
    // A power cut may bring back the record of an attempt that has reported: its agent reports it as broken again, which counts for nothing.
    if !reports().any(|report| report.outcome.is_some()) {
        chronicle.violation(format_args!("attempt {id} has no final report on record"));
    }
    let device = ledger
        .attempts
        .get(&id)
        .map(|attempt| attempt.device.as_str());
    if device != Some(execution.device.as_str()) {
        chronicle.violation(format_args!(
            "attempt {id} is on record for {device:?} and ran on {}",
            execution.device
        ));
    }
}
