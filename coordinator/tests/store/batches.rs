//! Commits of many records in both stores: they leave what the same records leave one by one.

use batchstep_coordinator::store::Store as _;
use batchstep_core::fleet::{AttemptState, Disposition, Record};
use batchstep_proto::{
    domain::{VisitFailure, VisitFailureKind},
    ids::{AgentId, AttemptId, RequestId, SweepId},
};

use super::{
    Place, at, contract, digest, event,
    support::{plan, report, round, spec},
};

contract!(
    one_large_commit_leaves_what_many_small_ones_leave,
    the_last_state_of_an_attempt_counts,
);

/// More series than one statement takes rows, and no power of two.
const SERIES: u32 = 77;

/// A sweep on many devices: each has a round that was declined once, then accepted and partly reported, with failures.
fn many(sweep: SweepId) -> Vec<Record> {
    let mut records = vec![Record::SweepSubmitted {
        sweep,
        request: RequestId::generate(),
        spec: spec(),
    }];
    for ordinal in 0..SERIES {
        let plan = plan(sweep, &format!("CPU-{ordinal}"));
        let round = round(&plan, 0);
        let agent = AgentId::generate();
        records.push(Record::SeriesCreated {
            plan: plan.clone(),
            ordinal,
        });
        let attempts = [0, 1].map(|number| AttemptId::of(round.id, number));
        for (number, attempt) in (0_u32..).zip(attempts) {
            records.push(Record::AttemptAssigned {
                attempt,
                number,
                agent,
                round: round.clone(),
            });
            if number == 0 {
                records.push(Record::AttemptEnded {
                    attempt,
                    state: AttemptState::Declined,
                    message: "busy".to_owned(),
                });
            }
        }
        records.push(event(Some(sweep), &format!("host {ordinal}")));
        records.push(Record::AttemptAccepted {
            attempt: attempts[1],
        });
        for part in [0, 1] {
            let mut report = report(attempts[1], &round, part, part == 1);
            report.blocks.truncate((ordinal % 3) as usize);
            report.failures = (0..ordinal % 4)
                .map(|visit| VisitFailure {
                    visit,
                    batch_size: ordinal + 1,
                    kind: VisitFailureKind::OutOfMemory,
                    message: format!("part {part} of {ordinal}"),
                })
                .collect();
            records.push(Record::Report {
                agent,
                digest: digest(part),
                disposition: Disposition::Accepted,
                report,
            });
        }
        if ordinal.is_multiple_of(2) {
            records.push(Record::RoundEnded { round: round.id });
        }
    }
    records
}

async fn one_large_commit_leaves_what_many_small_ones_leave<P: Place + Default>(place: P) {
    let sweep = SweepId::generate();
    let records = many(sweep);
    let elsewhere = P::default();
    let (one, many) = (place.open().await, elsewhere.open().await);
    let seqs = one.commit(at(0), &records).await.unwrap();
    let mut small = Vec::new();
    for record in &records {
        small.extend(
            many.commit(at(0), std::slice::from_ref(record))
                .await
                .unwrap(),
        );
    }
    assert_eq!(seqs, (1..=u64::from(SERIES)).collect::<Vec<_>>());
    assert_eq!(seqs, small);
    let snapshots = one.open_sweeps().await.unwrap();
    assert_eq!(snapshots[0].series.len(), SERIES as usize);
    assert_eq!(snapshots, many.open_sweeps().await.unwrap());
    let ended = one.ended_rounds(sweep, 0..=SERIES).await.unwrap();
    let histories = one.histories(Some(sweep)).await.unwrap();
    assert_eq!(ended, many.ended_rounds(sweep, 0..=SERIES).await.unwrap());
    for (ordinal, series) in (0..SERIES).zip(&snapshots[0].series) {
        let is_over = ordinal.is_multiple_of(2);
        let rounds = ended.get(&series.plan.id).map_or(&[][..], Vec::as_slice);
        assert_eq!(
            (series.open.len(), rounds.len()),
            if is_over { (0, 1) } else { (1, 0) }
        );
        assert_eq!(series.rounds_done, u32::from(is_over));
        if let [round] = rounds {
            assert_eq!(round.record, histories[ordinal as usize].history.rounds[0]);
        }
        let alone = one.ended_rounds(sweep, ordinal..=ordinal).await.unwrap();
        assert_eq!(alone.values().flatten().count(), rounds.len());
    }
    assert_eq!(
        one.histories(None).await.unwrap(),
        many.histories(None).await.unwrap()
    );
    assert_eq!(one.sweeps().await.unwrap(), many.sweeps().await.unwrap());
    assert_eq!(
        one.events_after(0, None, 1000).await.unwrap(),
        many.events_after(0, None, 1000).await.unwrap()
    );
}

async fn the_last_state_of_an_attempt_counts(place: impl Place) {
    let sweep = SweepId::generate();
    let mut records = many(sweep);
    // Given up for lost, and taken up again, before anything of it was committed.
    let attempt = AttemptId::of(round(&plan(sweep, "CPU-1"), 0).id, 0);
    for state in [AttemptState::Expired, AttemptState::Reported] {
        let message = "late".to_owned();
        records.push(Record::AttemptEnded {
            attempt,
            state,
            message,
        });
    }
    records.push(Record::AttemptAccepted { attempt });
    let store = place.open().await;
    store.commit(at(0), &records).await.unwrap();
    let open = store.open_sweeps().await.unwrap();
    let attempts = &open[0].series[1].open[0].attempts;
    assert_eq!(attempts[0].state, AttemptState::Accepted);
    assert_eq!(attempts[1].state, AttemptState::Reported);
}
