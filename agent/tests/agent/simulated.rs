//! Simulated devices as the supervisor meets them: in real and in accelerated time, at once, and stopped in every way. The runtime's clock is paused, so
//! that hours pass at once and times are exact.

use std::{path::Path, time::Duration};

use batchstep_agent::{
    device,
    executor::{Executor as _, Job, RoundEnding, RoundEvent, Stop},
    simulation::Simulation,
};
use batchstep_proto::{
    domain::{AttemptOutcome, DeviceKind, Dtype, Mode, Round, RoundKind, Timing, Visit, VisitRole},
    ids::{AgentId, RoundId, SeriesId, SweepId},
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

/// Two milliseconds an iteration; batch size 24 hangs.
const DEVICE: &str =
    "[[device]]\nmodel = 'A'\nlaw = { constant = 0.002 }\nfaults = { hangs_at = [24] }\n";

fn simulation(speed: &str) -> Simulation {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("devices.toml");
    std::fs::write(&file, format!("speed = {speed}\n{DEVICE}")).unwrap();
    Simulation::load(&file, AgentId::generate()).unwrap()
}

fn job(simulation: &Simulation, batch_sizes: &[u32], time_limit: u64) -> Job {
    let device = simulation.devices[0].clone();
    let sweep: SweepId = "0190d3a0-0000-7000-8000-000000000001".parse().unwrap();
    let series = SeriesId::of(sweep, &device.id, "linear");
    let round = Round {
        id: RoundId::of(series, 0),
        series,
        sweep,
        device_id: device.id.clone(),
        index: 0,
        kind: RoundKind::Measure,
        workload: "linear".parse().unwrap(),
        mode: Mode::Train,
        dtype: Dtype::F32,
        threads: None,
        seed: 7,
        reference_batch_size: None,
        visits: batch_sizes
            .iter()
            .map(|&batch_size| Visit {
                batch_size,
                role: VisitRole::Measure,
                // Ten seconds a block.
                iterations: Some(5000),
            })
            .collect(),
        timing: Timing::protocol(true),
        time_limit: Duration::from_secs(time_limit),
        idle_only: false,
    };
    Job {
        attempt_id: "a".to_owned(),
        device,
        round: round.into(),
        model: None,
    }
}

/// What a round came to: its ending, its blocks, and how long it took.
struct Played {
    ending: RoundEnding,
    blocks: usize,
    took: Duration,
}

/// Plays a round; after `stop` the wish is uttered.
async fn play(simulation: &Simulation, job: Job, stop: Option<(Duration, Stop)>) -> Played {
    let (events, mut heard) = mpsc::unbounded_channel();
    let (wish, wished) = watch::channel(Stop::No);
    let began = Instant::now();
    let uttered = async {
        if let Some((after, stop)) = stop {
            tokio::time::sleep(after).await;
            wish.send_replace(stop);
        }
        std::future::pending::<()>().await;
    };
    let ending = tokio::select! {
        ending = simulation.executor.execute(job, events, wished) => ending,
        () = uttered => unreachable!("it never resolves"),
    };
    let took = began.elapsed();
    let mut blocks = 0;
    while let Some(event) = heard.recv().await {
        blocks += usize::from(matches!(event, RoundEvent::Block(_)));
    }
    Played {
        ending,
        blocks,
        took,
    }
}

fn gently() -> Stop {
    Stop::Gently("enough".to_owned())
}

/// Within a millisecond, to which the runtime rounds.
fn about(time: Duration, seconds: f64) -> bool {
    (time.as_secs_f64() - seconds).abs() < 0.002
}

#[tokio::test(start_paused = true)]
async fn device_time_passes_as_fast_as_the_file_says() {
    // A warm-up of ten iterations and a block of 5000, at 2 ms each.
    for (speed, seconds) in [("1", 10.02), ("50.0", 10.02 / 50.0), ("'instant'", 0.0)] {
        let simulation = simulation(speed);
        let played = play(&simulation, job(&simulation, &[8], 600), None).await;
        assert_eq!(played.ending.outcome, AttemptOutcome::Finished);
        assert!(about(played.took, seconds), "{speed}: {:?}", played.took);
        let times = played.ending.times.unwrap();
        assert_eq!(times.elapsed, Duration::from_millis(10_020));
        assert_eq!(times.measuring, Duration::from_secs(10));
    }
}

#[tokio::test(start_paused = true)]
async fn a_gentle_stop_waits_for_the_running_iteration() {
    let simulation = simulation("1");
    let stop = (Duration::from_micros(15_021_000), gently());
    let played = play(&simulation, job(&simulation, &[8, 9], 600), Some(stop)).await;
    assert_eq!(played.ending.outcome, AttemptOutcome::Stopped);
    assert_eq!(played.ending.message, "enough");
    assert_eq!(played.blocks, 1);
    assert!(about(played.took, 15.022), "{:?}", played.took);
    // What it had learned is kept: the next round warms 8 up like a later visit, 3 iterations of 2 ms.
    let again = play(&simulation, job(&simulation, &[8], 600), None).await;
    assert!(about(again.took, 10.006), "{:?}", again.took);
}

#[tokio::test(start_paused = true)]
async fn a_stop_at_once_waits_for_nothing_and_costs_what_was_learned() {
    let simulation = simulation("1");
    let stop = Stop::AtOnce("now".to_owned());
    let stop = (Duration::from_secs(15), stop);
    let played = play(&simulation, job(&simulation, &[8, 9], 600), Some(stop)).await;
    assert_eq!(played.ending.outcome, AttemptOutcome::Stopped);
    assert!(about(played.took, 15.0), "{:?}", played.took);
    let again = play(&simulation, job(&simulation, &[8], 600), None).await;
    assert!(about(again.took, 10.02), "{:?}", again.took);
}

#[tokio::test(start_paused = true)]
async fn what_hangs_is_ended_by_the_time_limit_or_by_force() {
    let simulation = simulation("10.0");
    let played = play(&simulation, job(&simulation, &[8, 24], 300), None).await;
    assert_eq!(played.ending.outcome, AttemptOutcome::TimedOut);
    assert!(played.ending.message.contains("batch size 24"));
    assert!(about(played.took, 30.0), "{:?}", played.took);
    // Ten device seconds after the wish, as the process executor would.
    let stop = (Duration::from_secs(5), gently());
    let played = play(&simulation, job(&simulation, &[8, 24], 300), Some(stop)).await;
    assert_eq!(played.ending.outcome, AttemptOutcome::Stopped);
    assert!(about(played.took, 6.0), "{:?}", played.took);
}

#[tokio::test(start_paused = true)]
async fn a_wish_from_before_the_round_counts() {
    let simulation = simulation("'instant'");
    let (events, _heard) = mpsc::unbounded_channel();
    let (_wish, wished) = watch::channel(gently());
    let job = job(&simulation, &[8], 600);
    let ending = simulation.executor.execute(job, events, wished).await;
    assert_eq!(ending.outcome, AttemptOutcome::Stopped);
}

#[test]
fn two_agents_offer_the_same_file_under_names_of_their_own() {
    let [one, other] = [simulation("1"), simulation("1")];
    let device = &one.devices[0];
    assert_eq!(
        (device.kind, device.model.as_str()),
        (DeviceKind::Simulated, "A")
    );
    assert!(
        device.id.starts_with("SIM-") && device.id.ends_with("-1"),
        "{}",
        device.id
    );
    assert_ne!(device.id, other.devices[0].id);
    let listed = device.id.parse().unwrap();
    assert_eq!(
        device::select(one.devices.clone(), &listed).unwrap().len(),
        1
    );
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let error = Simulation::load(Path::new("/nonexistent/a.toml"), AgentId::generate());
    let error = error.err().unwrap().to_string();
    assert_eq!(
        error,
        "cannot read the simulated devices of /nonexistent/a.toml: No such file or directory (os error 2)"
    );
}
