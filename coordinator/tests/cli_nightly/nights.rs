//! `batchstep nightly`: a list, and one night with its series, the gravest first.

use batchstep_coordinator::{
    nightly::document::{NightDocument, NightsDocument},
    store::{NightState, Sqlite},
};
use tempfile::TempDir;

use super::{
    ask, batchstep,
    story::{Story, confirmed, learning, missing, normal, provisional},
    support::Coordinator,
};

async fn lab(folder: &TempDir) -> Coordinator {
    let first = [("a1", learning()), ("b1", learning())];
    let second = [
        ("a1", normal()),
        ("a2", provisional()),
        ("b1", confirmed()),
        ("b2", normal()),
        ("c1", missing()),
    ];
    let story = Story::of("lab")
        .night(1, NightState::Done, &first)
        .night(2, NightState::Missed, &[])
        .night(3, NightState::Done, &second)
        .alarm(7, 3, "b1", confirmed());
    let store = Sqlite::open(folder.path()).await.unwrap();
    story.write(&store).await;
    Coordinator::start(store).await
}

#[tokio::test]
async fn nights_are_listed_newest_first() {
    let folder = TempDir::new().unwrap();
    let coordinator = lab(&folder).await;
    let table = ask(&coordinator, "nightly list").await;
    let table = table.is(
        0,
        &[
            "missed",
            "1 h 30 min",
            "2 learning",
            "the coordinator was away",
            "did not happen",
        ],
    );
    let (newest, oldest) = (
        table.stdout.find("2026-11-13"),
        table.stdout.find("2026-11-11"),
    );
    assert!(newest.unwrap() < oldest.unwrap(), "{table:?}");
    let json: NightsDocument = ask(&coordinator, "nightly list --format json").await.json();
    let numbers: Vec<u32> = json.nights.iter().map(|night| night.number).collect();
    assert_eq!(numbers, [3, 2, 1]);
    let line = "nightly list --schedule lab --limit 1 --format markdown";
    let markdown = ask(&coordinator, line)
        .await
        .is(0, &["| schedule |", "| lab | 3 |"]);
    assert_eq!(markdown.stdout.lines().count(), 3, "{markdown:?}");
    let nobody = ask(&coordinator, "nightly list --schedule nobody").await;
    nobody.is(2, &["\"nobody\"", "batchstep schedule list"]);
    coordinator.stop().await;
}

#[tokio::test]
async fn a_night_is_shown_by_number_or_day_the_gravest_first() {
    let folder = TempDir::new().unwrap();
    let coordinator = lab(&folder).await;
    let newest = ask(&coordinator, "nightly show").await;
    let newest = newest.is(
        1,
        &[
            "night 3 of lab (2026-11-13): done",
            "5 series: 1 missing, 1 confirmed, 1 provisional, 2 normal",
            "alarm 7 (open)",
            "+10.0 %",
            "2 ms",
            "Not shown: 2 normal; --all shows them.",
        ],
    );
    let place = |device: &str| newest.stdout.rfind(device).unwrap();
    assert!(
        place("GPU-b1") < place("GPU-c1") && place("GPU-c1") < place("GPU-a2"),
        "{newest:?}"
    );
    let newest = newest.without(&["GPU-a1", "GPU-b2"]);
    for same in [
        "nightly show 3",
        "nightly show 2026-11-13",
        "nightly show --schedule lab",
    ] {
        assert_eq!(
            ask(&coordinator, same).await.stdout,
            newest.stdout,
            "{same}"
        );
    }
    let all = ask(&coordinator, "nightly show --all").await;
    all.is(1, &["GPU-a1", "GPU-b2"]).without(&["Not shown"]);
    ask(&coordinator, "nightly show 1")
        .await
        .is(0, &["2 learning"]);
    ask(&coordinator, "nightly show 2").await.is(
        3,
        &[
            "missed",
            "the coordinator was away",
            "did not happen; 0 alarms",
        ],
    );

    let ran = ask(&coordinator, "nightly show 3 --format json")
        .await
        .is(1, &[]);
    let json: NightDocument = ran.json();
    assert_eq!(json.series.len(), 5);
    let confirmed = json
        .series
        .iter()
        .find(|row| row.about.device == "GPU-b1")
        .unwrap();
    assert!((confirmed.shift.unwrap() - 0.1).abs() < 1e-9);
    assert!((confirmed.baseline_seconds.unwrap() - 0.002).abs() < 1e-9);
    let markdown = ask(&coordinator, "nightly show 3 --format markdown").await;
    let markdown = markdown.is(
        1,
        &[
            "### night 3 of lab",
            "| device | id |",
            "```sh",
            "Example &lt;H1>",
        ],
    );
    assert!(
        markdown.stdout.contains("Not shown: 2 normal."),
        "{markdown:?}"
    );
    coordinator.stop().await;
}

#[tokio::test]
async fn nights_that_are_none_are_named() {
    let folder = TempDir::new().unwrap();
    let coordinator = lab(&folder).await;
    for (line, said) in [
        (
            "nightly show 17",
            &["no night 17", "nightly list --schedule lab"][..],
        ),
        ("nightly show 2026-11-30", &["no night of 2026-11-30"]),
        (
            "nightly show yesterday",
            &["yesterday", "such as 2026-11-26"],
        ),
        (
            "nightly show --schedule nobody",
            &["no schedule \"nobody\"", "batchstep schedule list"],
        ),
        (
            "nightly show 99 --schedule nobody",
            &["no schedule \"nobody\"", "batchstep schedule list"],
        ),
        (
            "compare night:nobody@2 night:lab@3",
            &["no schedule \"nobody\"", "batchstep schedule list"],
        ),
        (
            "nightly report --schedule nobody --output nowhere",
            &["no schedule \"nobody\"", "batchstep schedule list"],
        ),
        ("nightly list --limit 0", &["--limit"]),
    ] {
        let ran = ask(&coordinator, line).await.is(2, said);
        assert_eq!(ran.stdout, "", "{line}");
    }
    coordinator.stop().await;
}

#[tokio::test]
async fn of_several_schedules_one_must_be_named() {
    let folder = TempDir::new().unwrap();
    let store = Sqlite::open(folder.path()).await.unwrap();
    Story::of("one")
        .night(1, NightState::Done, &[("a1", normal())])
        .write(&store)
        .await;
    Story::of("two").write(&store).await;
    let coordinator = Coordinator::start(store).await;
    ask(&coordinator, "nightly show")
        .await
        .is(2, &["--schedule", "one, two"]);
    ask(&coordinator, "nightly show --schedule one")
        .await
        .is(0, &["night 1 of one"]);
    ask(&coordinator, "nightly show --schedule two")
        .await
        .is(2, &["no night yet"]);
    coordinator.stop().await;
}

#[tokio::test]
async fn devices_that_begin_alike_are_told_apart() {
    let folder = TempDir::new().unwrap();
    let store = Sqlite::open(folder.path()).await.unwrap();
    let series = [
        ("a-0123456789abc-1", normal()),
        ("a-0123456789abc-2", normal()),
    ];
    let story = Story::of("lab").night(1, NightState::Done, &series);
    story.write(&store).await;
    let coordinator = Coordinator::start(store).await;
    let shown = ask(&coordinator, "nightly show --all").await;
    shown.is(0, &["GPU-a-0123456789abc-1", "GPU-a-0123456789abc-2"]);
    coordinator.stop().await;
}

#[tokio::test]
async fn a_night_under_way_is_not_judged_yet() {
    let folder = TempDir::new().unwrap();
    let store = Sqlite::open(folder.path()).await.unwrap();
    let story = Story::of("lab").night(1, NightState::Measuring, &[]);
    story.write(&store).await;
    drop(store);
    // A look into a data directory, which brings no night forward.
    let line = |command: &str| format!("{command} --data-dir {}", folder.path().display());
    let shown = batchstep(&line("nightly show"), &[]).await;
    shown.is(3, &["not judged yet"]).without(&["0 series"]);
    let list = batchstep(&line("nightly list"), &[]).await;
    list.is(0, &["measuring", "not judged yet"]);
}

#[tokio::test]
async fn nights_outlast_their_schedule() {
    let folder = TempDir::new().unwrap();
    let coordinator = lab(&folder).await;
    ask(&coordinator, "schedule remove lab").await.is(0, &[]);
    let list = ask(&coordinator, "nightly list --schedule lab").await;
    list.is(0, &["2026-11-13", "missed"]);
    let shown = ask(&coordinator, "nightly show 1 --schedule lab").await;
    shown.is(0, &["night 1 of lab"]);
    ask(&coordinator, "regressions")
        .await
        .is(0, &["No alarm is open"]);
    let over = ask(&coordinator, "regressions --since 2026-11-01").await;
    over.is(0, &["alarm 7 (over)", "the schedule was removed by tester"]);
    coordinator.stop().await;
}
