//! What a start reads of a sweep that is not settled, and what it leaves to the store.

use std::time::Duration;

use batchstep_coordinator::store::Store as _;
use batchstep_core::fleet::{
    AttemptState, Disposition, Record, SeriesState, SeriesSummary, SweepState,
};

use super::{Place, Sample, at, contract};

contract!(
    cancelled_sweeps_stay_open_until_their_attempts_are_in,
    a_series_that_ended_uncounted_is_counted_by_the_store,
);

async fn a_series_that_ended_uncounted_is_counted_by_the_store(place: impl Place) {
    let sample = Sample::new();
    let store = place.open().await;
    store.commit(at(0), &sample.begun()).await.unwrap();
    let end = [
        sample.reported(0, true, Disposition::Accepted),
        Record::RoundEnded {
            round: sample.round.id,
        },
        Record::SeriesEnded {
            series: sample.plan.id,
            state: SeriesState::Failed,
            message: "it cannot be read back".to_owned(),
            summary: None,
        },
    ];
    store.commit(at(1), &end).await.unwrap();
    let stored = store.sweep(sample.sweep).await.unwrap().unwrap();
    assert_eq!(stored.series[0].state, SeriesState::Failed);
    let counted = SeriesSummary {
        rounds_done: 1,
        blocks: 2,
        measuring: Duration::from_millis(200),
    };
    assert_eq!(stored.series[0].summary, counted);
}

async fn cancelled_sweeps_stay_open_until_their_attempts_are_in(place: impl Place) {
    let sample = Sample::new();
    let store = place.open().await;
    let mut records = sample.begun();
    records.push(Record::SweepEnded {
        sweep: sample.sweep,
        state: SweepState::Cancelled,
        message: "cancelled".to_owned(),
    });
    store.commit(at(0), &records).await.unwrap();
    let open = store.open_sweeps().await.unwrap();
    assert_eq!(open[0].state, SweepState::Cancelled);
    let expired = Record::AttemptEnded {
        attempt: sample.attempt,
        state: AttemptState::Expired,
        message: "lost".to_owned(),
    };
    store.commit(at(1), &[expired]).await.unwrap();
    assert!(store.open_sweeps().await.unwrap().is_empty());
}
