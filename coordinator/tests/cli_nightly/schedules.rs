//! `batchstep schedule`: what is added is shown, kept over restarts, and runs.

use batchstep_coordinator::{
    nightly::document::{ActionsDocument, NightsDocument},
    store::{Memory, Sqlite},
};
use serde_json::Value as Json;
use tempfile::TempDir;

use super::{
    ask, ask_with, batchstep,
    support::{Agent, Coordinator},
};

async fn schedules(coordinator: &Coordinator) -> Json {
    let list = ask(coordinator, "schedule list --format json")
        .await
        .is(0, &[]);
    let json: Json = list.json();
    assert_eq!(json["schema_version"], 1);
    json["schedules"].clone()
}

#[tokio::test]
async fn a_schedule_is_kept_as_it_was_added() {
    let folder = TempDir::new().unwrap();
    let coordinator = Coordinator::start(Sqlite::open(folder.path()).await.unwrap()).await;
    ask(&coordinator, "schedule list")
        .await
        .is(0, &["No schedule yet", "schedule add"]);
    let line = "schedule add lab --cron 30~2~*~*~* --tz Europe/Berlin --deadline 5h --workload linear --devices GPU-1,GPU-2 --batch-sizes 1-16 --judge-batch-sizes 8,16 --mode infer --budget 90s --only-between 02:00-07:00 --idle-only --priority 5 --user ada";
    let added = ask(&coordinator, line).await;
    added
        .is(
            0,
            &[
                "schedule lab",
                "30 2 * * *",
                "Europe/Berlin",
                "enabled",
                "5h",
                "GPU-1, GPU-2",
                "batch sizes 8,16",
                "02:00-07:00 Europe/Berlin",
                "02:30 +0",
            ],
        )
        .without(&["this computer's time zone"]);
    let again = ask(&coordinator, line).await;
    again.is(2, &["there is a schedule lab already", "remove it first"]);
    let before = schedules(&coordinator).await;
    coordinator.stop().await;

    let coordinator = Coordinator::start(Sqlite::open(folder.path()).await.unwrap()).await;
    let after = schedules(&coordinator).await;
    assert_eq!(before, after, "a restart changes nothing");
    let lab = &after[0];
    for (field, value) in [
        ("name", Json::from("lab")),
        ("cron", "30 2 * * *".into()),
        ("time_zone", "Europe/Berlin".into()),
        ("enabled", true.into()),
        ("deadline_seconds", 18_000.0.into()),
        ("judged_batch_sizes", [8, 16].as_slice().into()),
        ("nights", 0.into()),
        ("last_night", Json::Null),
    ] {
        assert_eq!(lab[field], value, "{field}");
    }
    let sweep = &lab["sweep"];
    assert_eq!(sweep["mode"], "infer");
    assert_eq!(sweep["devices"], serde_json::json!(["GPU-1", "GPU-2"]));
    assert_eq!(sweep["batch_sizes"].as_array().unwrap().len(), 16);
    assert_eq!(sweep["only_between"], "02:00-07:00 Europe/Berlin");
    assert_eq!(
        (&sweep["idle_only"], &sweep["priority"]),
        (&true.into(), &5.into())
    );
    assert_eq!(lab["upcoming"].as_array().unwrap().len(), 5);

    ask(&coordinator, "schedule disable lab")
        .await
        .is(0, &["no night begins by itself"]);
    let shown = ask(&coordinator, "schedule show lab").await;
    shown.is(
        0,
        &["disabled", "batchstep schedule enable", "No night yet"],
    );
    ask(&coordinator, "schedule list")
        .await
        .is(0, &["disabled", "lab"]);
    ask(&coordinator, "schedule enable lab")
        .await
        .is(0, &["begin by themselves"]);
    ask(&coordinator, "schedule remove lab --user ada")
        .await
        .is(0, &["removed"]);
    assert_eq!(schedules(&coordinator).await, serde_json::json!([]));
    let log: ActionsDocument = ask(&coordinator, "regressions log --format json")
        .await
        .json();
    let log: Vec<_> = log
        .actions
        .iter()
        .map(|it| (it.user.as_str(), it.action.as_str()))
        .collect();
    assert_eq!(
        log,
        [
            ("ada", "remove schedule"),
            ("tester", "enable schedule"),
            ("tester", "disable schedule"),
            ("ada", "add schedule"),
        ]
    );
    coordinator.stop().await;
}

#[tokio::test]
async fn what_is_not_said_is_the_usual() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let zone = [("TZ", "America/New_York")];
    let ran = ask_with(&coordinator, "schedule add usual --cron @daily", &zone).await;
    ran.is(
        0,
        &[
            "America/New_York, this computer's time zone; --tz",
            "a night may take 6h",
            "up to the knee",
        ],
    );
    let list = schedules(&coordinator).await;
    let sweep = &list[0]["sweep"];
    assert_eq!(list[0]["time_zone"], "America/New_York");
    assert_eq!(sweep["batch_sizes"].as_array().unwrap().len(), 128);
    assert_eq!(sweep["workloads"].as_array().unwrap().len(), 2);
    assert_eq!(sweep["devices"], "all");
    // A window without a zone is one on the clocks of the schedule.
    let line = "schedule add window --cron @daily --tz Asia/Tokyo --only-between 00:00-05:00";
    ask(&coordinator, line)
        .await
        .is(0, &["00:00-05:00 Asia/Tokyo"]);
    coordinator.stop().await;
}

#[tokio::test]
async fn next_runs_say_what_daylight_saving_does() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let line = "schedule add spring --cron 30~2~*~3~* --tz Europe/Berlin";
    ask(&coordinator, line).await.is(0, &[]);
    // Every March has one such day.
    let shown = ask(&coordinator, "schedule show spring --runs 40").await;
    shown.is(
        0,
        &["03:00 +02:00 CEST; 02:30 does not exist on this day: clocks go from 02:00 to 03:00"],
    );
    let json: Json = ask(
        &coordinator,
        "schedule show spring --runs 100 --format json",
    )
    .await
    .json();
    let runs = json["schedules"][0]["upcoming"].as_array().unwrap().clone();
    assert_eq!(runs.len(), 100);
    assert!(runs.iter().any(|run| run["note"].is_string()), "{runs:?}");
    assert!(runs.iter().any(|run| run["note"].is_null()), "{runs:?}");
    coordinator.stop().await;
}

#[tokio::test]
async fn schedules_that_cannot_work_are_refused_with_what_to_do() {
    let coordinator = Coordinator::start(Memory::new()).await;
    for (line, said) in [
        (
            "add lab --cron 0~2~*~*",
            &["--cron", "4 fields instead of 5", "such as"][..],
        ),
        ("add lab --cron 0~25~*~*~*", &["--cron", "hour"]),
        ("add lab --cron 0~2~30~2~*", &["--cron", "never runs"]),
        ("add lab", &["--cron"]),
        (
            "add two~words --cron @daily",
            &["NAME", "such as gpus-at-night"],
        ),
        (
            "add lab --cron @daily --tz Europe/Atlantis",
            &["--tz", "Europe/Atlantis", "such as Europe/Berlin"],
        ),
        (
            "add lab --cron @daily --deadline never",
            &["--deadline", "never"],
        ),
        (
            "add lab --cron @daily --deadline 30h",
            &["deadline", "never overlap", "24h"],
        ),
        (
            "add lab --cron @daily --deadline 10s",
            &["deadline", "not between"],
        ),
        (
            "add lab --cron 0~2~*~*~* --tz UTC --only-between 12:00-13:00 --deadline 2h",
            &["only_between", "widen it"],
        ),
        (
            "add lab --cron @daily --strategy adaptive",
            &["--strategy", "leave it out"],
        ),
        (
            "add lab --cron @daily --preset article",
            &["--preset", "--batch-sizes"],
        ),
        (
            "add lab --cron @daily --batch-sizes auto",
            &["--batch-sizes", "1-128"],
        ),
        (
            "add lab --cron @daily --batch-sizes 1-8 --judge-batch-sizes 9",
            &["judged_batch_sizes", "9 is not among"],
        ),
        (
            "add lab --cron @daily --workload torchscript:path=/nowhere.pt,input=3,target=class:2",
            &["--workload", "/nowhere.pt"],
        ),
        ("show lab", &["\"lab\"", "batchstep schedule list"]),
        ("enable lab", &["\"lab\"", "batchstep schedule list"]),
        ("disable lab", &["\"lab\""]),
        ("remove lab", &["\"lab\""]),
        ("run-now lab", &["\"lab\""]),
    ] {
        let ran = ask(&coordinator, &format!("schedule {line}"))
            .await
            .is(2, said);
        assert_eq!(ran.stdout, "", "{line}");
    }
    assert_eq!(schedules(&coordinator).await, serde_json::json!([]));
    coordinator.stop().await;
}

#[tokio::test]
async fn people_s_own_networks_are_handed_over_once() {
    let folder = TempDir::new().unwrap();
    let coordinator = Coordinator::start(Sqlite::open(folder.path()).await.unwrap()).await;
    let net = folder.path().join("net.pt");
    std::fs::write(&net, b"PK\x03\x04 as torch.jit.save begins").unwrap();
    let line = format!(
        "schedule add ours --cron @daily --workload torchscript:path={},input=3x8x8,target=class:10 --batch-sizes 8-64:8",
        net.display()
    );
    ask(&coordinator, &line).await.is(0, &["net.pt"]);
    let models = ask(&coordinator, "model list --format json").await;
    models.is(0, &["net.pt"]);
    std::fs::remove_file(&net).unwrap();
    ask(&coordinator, "schedule show ours")
        .await
        .is(0, &["net.pt"]);
    // Its nights need the network as long as there is the schedule.
    let kept = ask(&coordinator, "model remove net.pt").await;
    kept.is(2, &["schedule ours", "batchstep schedule remove ours"]);
    ask(&coordinator, "schedule remove ours").await.is(0, &[]);
    let removed = ask(&coordinator, "model remove net.pt").await;
    removed.is(0, &["Removed net.pt"]);
    coordinator.stop().await;
}

#[tokio::test]
async fn a_night_out_of_turn_is_measured_and_shown() {
    let folder = TempDir::new().unwrap();
    let coordinator = Coordinator::start(Sqlite::open(folder.path()).await.unwrap()).await;
    let mut agent = Agent::connect(&coordinator, "CPU-1").await;
    let working = tokio::spawn(async move {
        while let Some(assignment) = agent.assignment().await {
            agent.work(&assignment).await;
        }
    });
    let line = "schedule add lab --cron @yearly --workload linear --devices cpu --batch-sizes 1-16 --budget 5s --threads 2";
    ask(&coordinator, line).await.is(0, &[]);
    let ran = ask(&coordinator, "schedule run-now lab --wait --user ada").await;
    ran.is(
        0,
        &[
            "Night 1 of lab has begun",
            "night 1 of lab",
            "done",
            "begun by ada",
            "1 learning",
        ],
    );
    let begun = ask(&coordinator, "schedule run-now lab").await;
    let begun = begun.is(0, &["nightly show 2 --schedule lab"]);
    assert_eq!(begun.stdout, "2\n");
    let nights: NightsDocument = ask(&coordinator, "nightly list --format json").await.json();
    assert_eq!(nights.nights.len(), 2);
    let shown = ask(&coordinator, "schedule show lab").await;
    shown.is(0, &["judged at", "night 2 of lab: begun by tester"]);
    coordinator.stop().await;
    working.abort();

    // Nights stay on record, for whoever looks into the files.
    let line = format!(
        "nightly show 1 --all --data-dir {}",
        folder.path().display()
    );
    batchstep(&line, &[]).await.is(0, &["CPU-1", "learning"]);
}
