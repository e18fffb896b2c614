//! What must be true once everything has calmed down: every sweep is over, what the devices did is what is on record, and nobody owes anybody anything.

use std::collections::BTreeMap;

use batchstep_core::fleet::{AttemptState, SeriesState, SweepState};
use batchstep_proto::ids::AttemptId;

use crate::{chronicle::Chronicle, executions::Execution, host::Agent, ledger::Ledger};

/// Checks a world that has come to rest.
pub fn check(
    ledger: &Ledger,
    executions: &BTreeMap<AttemptId, Execution>,
    agents: &[Agent],
    chronicle: &Chronicle,
) {
    everything_is_over(ledger, chronicle);
    for (id, execution) in executions {
        on_record(*id, execution, ledger, chronicle);
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

/// What a device did is on record: all of it, or what was on its host's disk when its agent was killed, and that it ended.
fn on_record(id: AttemptId, execution: &Execution, ledger: &Ledger, chronicle: &Chronicle) {
    let reports = || {
        ledger
            .reports
            .iter()
            .map(|(_, report)| report)
            .filter(|report| report.attempt == id)
    };
    let mut stored: Vec<(u32, u32, u64)> = reports()
        .flat_map(|report| &report.blocks)
        .map(|block| {
            let elapsed = u64::try_from(block.elapsed.as_nanos()).unwrap_or(u64::MAX);
            (block.visit, block.batch_size, elapsed)
        })
        .collect();
    stored.sort_unstable();
    let mut executed = execution.blocks.clone();
    executed.sort_unstable();
    if execution.killed {
        if let Some(invented) = stored.iter().find(|block| !executed.contains(block)) {
            chronicle.violation(format_args!(
                "block {invented:?} of attempt {id} is on record and was never timed"
            ));
        }
    } else if stored != executed {
        chronicle.violation(format_args!(
            "attempt {id} timed {} blocks, and {} are on record",
            executed.len(),
            stored.len()
        ));
    }
    if execution.ended.is_none() && !execution.killed {
        chronicle.violation(format_args!("attempt {id} still runs"));
    }
    let ends = reports().filter(|report| report.outcome.is_some()).count();
    if ends != 1 {
        chronicle.violation(format_args!("attempt {id} has {ends} final reports on record"));
    }
    let device = ledger.attempts.get(&id).map(|attempt| attempt.device.as_str());
    if device != Some(execution.device.as_str()) {
        chronicle.violation(format_args!(
            "attempt {id} is on record for {device:?} and ran on {}",
            execution.device
        ));
    }
}
