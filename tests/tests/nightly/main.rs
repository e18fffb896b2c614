//! Thirty nights of a small lab, on real processes: what happens to its devices and hosts is told by the alarms that a careful person would raise, once each.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail loudly too")]

mod receiver;
mod world;

use batchstep_proto::wire;
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use receiver::Receiver;
use serde_json::Value;
use world::{Device, World};

const SCHEDULE: &str = "lab";
const ZONE: &str = "Europe/Berlin";
const NIGHTS: u32 = 30;
/// Four machines, each with a device of both models.
const HOSTS: [&str; 4] = ["n1", "n2", "n3", "n4"];

/// The sweep of a night.
fn sweep() -> wire::SweepSpec {
    wire::SweepSpec {
        workloads: vec!["linear".to_owned()],
        batch_sizes: (1..=96).collect(),
        mode: wire::Mode::Train as i32,
        dtype: wire::Dtype::F32 as i32,
        strategy: wire::Strategy::Dense as i32,
        budget_ns: 600_000_000_000,
        precision: 0.5,
        seed: 7,
        devices: Some(wire::DeviceSelector {
            scope: wire::device_selector::Scope::All as i32,
            device_ids: Vec::new(),
        }),
        visit_order: wire::VisitOrder::Random as i32,
        ..wire::SweepSpec::default()
    }
}

fn schedule() -> wire::Schedule {
    wire::Schedule {
        name: SCHEDULE.to_owned(),
        cron: "30 2 * * *".to_owned(),
        time_zone: ZONE.to_owned(),
        sweep: Some(sweep()),
        deadline_ns: 4 * 3_600_000_000_000,
        judged_batch_sizes: Vec::new(),
    }
}

/// A number in -1..1 that looks random: how a device is in a night.
fn mood(night: u32, machine: usize, model: u32) -> f64 {
    let mut state =
        u64::from(night) << 32 ^ (machine as u64) << 8 ^ u64::from(model) ^ 0x9e37_79b9_7f4a_7c15;
    for _ in 0..3 {
        state ^= state >> 30;
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^= state >> 27;
        state = state.wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^= state >> 31;
    }
    (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// What the devices of a machine are in a night.
fn devices(night: u32, machine: usize) -> [Device; 2] {
    let driver = if night < 12 { "570.86" } else { "580.65" };
    let usual = |model| 1.0 + 0.004 * mood(night, machine, model);
    let mut aurora = Device {
        model: "Aurora",
        factor: usual(0),
        step: 16,
        driver,
    };
    let mut borealis = Device {
        model: "Borealis",
        factor: usual(1),
        step: 16,
        driver,
    };
    if machine == 0 && night >= 20 {
        aurora.factor *= 1.10;
    }
    if machine == 1 && night >= 26 {
        aurora.step = 24;
    }
    if night >= 24 {
        borealis.factor *= 1.05;
    }
    [aurora, borealis]
}

/// When a night begins, by the clocks of its place, and a little.
fn begins(night: u32) -> Timestamp {
    let first: Date = "2026-03-10".parse().unwrap();
    let date = first.checked_add((i64::from(night) - 1).days()).unwrap();
    let zone = TimeZone::get(ZONE).unwrap();
    // On 29 March the clocks skip it: it is 03:30 then, and the run was at 03:00.
    let time = date.at(2, 30, 0, 0).to_zoned_datetime(zone).unwrap();
    time.timestamp() + jiff::SignedDuration::from_secs(5)
}

fn add_schedule(world: &World) -> wire::ScheduleView {
    let request = wire::AddScheduleRequest {
        schedule: Some(schedule()),
        user: "ada".to_owned(),
    };
    let added = world.call(|mut client| async move { client.add_schedule(request).await });
    added.into_inner().schedule.expect("the schedule")
}

fn told(alarm: &Value) -> (String, u64, String) {
    let word = |name: &str| alarm[name].as_str().unwrap_or_default().to_owned();
    let about = match alarm["about"].as_object() {
        Some(about) if alarm["host"].is_null() => format!(
            "{} on {}",
            about["device_model"].as_str().unwrap(),
            about["hostname"].as_str().unwrap()
        ),
        _ => word("subject"),
    };
    (word("kind"), alarm["night"].as_u64().unwrap(), about)
}

#[test]
fn thirty_nights_raise_the_alarms_of_a_careful_person() {
    let receiver = Receiver::start();
    let mut world = World::new(&HOSTS, &[("BATCHSTEP_WEBHOOK_URL", &receiver.url())]);
    world.set_clock("2026-03-09T20:00:00Z");
    world.start_coordinator();
    let added = add_schedule(&world);
    assert_eq!(added.upcoming[0].at, "2026-03-10T01:30:00Z");

    for night in 1..=NIGHTS {
        for machine in 0..HOSTS.len() {
            if machine == 3 && (15..18).contains(&night) {
                world.stop_agent(machine);
            } else {
                world.start_agent(machine, &devices(night, machine));
            }
        }
        world.set_clock(&begins(night).to_string());
        if night == 21 {
            // In the middle of it.
            batchstep_tests::eventually("the night to begin", || world.try_night(SCHEDULE, night));
            world.kill_coordinator();
            world.start_coordinator();
        }
        if (15..18).contains(&night) {
            // The night waits for the host that died until its deadline.
            batchstep_tests::eventually("the others to be done", || world.all_done_but(2));
            world.set_clock(&(begins(night) + jiff::SignedDuration::from_hours(4)).to_string());
        }
        let document = world.night(SCHEDULE, night);
        println!(
            "{night}: {} {}",
            document["night"]["date"], document["night"]["summary"]
        );
        for alarm in document["alarms"].as_array().unwrap() {
            println!(
                "   {} {:?} {}",
                alarm["state"],
                told(alarm),
                alarm["sentence"]
            );
        }
        assert_eq!(document["night"]["state"], "done", "{document}");
    }

    let alarms = world.alarms();
    let raised: Vec<(String, u64, String)> = alarms.iter().map(told).collect();
    let expected = [
        ("missing", 15, "host n4"),
        ("confirmed", 21, "Aurora on n1"),
        ("model_wide", 25, "Borealis|linear"),
        ("step_changed", 26, "Aurora on n2"),
    ];
    assert_eq!(raised.len(), expected.len(), "{raised:#?}");
    for ((kind, night, about), (wanted, when, whom)) in raised.iter().zip(expected) {
        assert_eq!((kind.as_str(), *night), (wanted, when), "{raised:#?}");
        assert!(about.starts_with(whom), "{raised:#?}");
    }

    // Whoever is told was told the same, once each, and when it was over.
    let expected = [
        "missing_host",
        "resolved",
        "regression",
        "model_wide",
        "step_changed",
    ];
    batchstep_tests::eventually("everything to be told", || {
        (receiver.messages().len() >= expected.len()).then_some(())
    });
    let told = receiver.messages();
    let kinds: Vec<&str> = told
        .iter()
        .filter_map(|message| message["kind"].as_str())
        .collect();
    assert_eq!(kinds, expected, "{told:#?}");
    let regression = &told[2];
    assert_eq!(regression["subject"]["host"], "n1", "{regression}");
    assert_eq!(regression["since"]["number"], 20, "{regression}");
    let reproduce = regression["reproduce"].as_str().unwrap_or_default();
    assert!(
        reproduce.starts_with("batchstep sweep run --devices SIM-"),
        "{regression}"
    );
}
