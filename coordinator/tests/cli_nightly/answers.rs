//! `regressions ack`, `mute`, `rebaseline`, `label` and `log`: what is answered is kept with who and why, over restarts.

use batchstep_coordinator::{
    nightly::document::{ActionsDocument, AlarmState, AlarmsDocument},
    store::{NightState, Sqlite},
};
use tempfile::TempDir;

use super::{
    ask, ask_with,
    story::{Story, confirmed, normal},
    support::Coordinator,
};

async fn serve(folder: &TempDir) -> Coordinator {
    Coordinator::start(Sqlite::open(folder.path()).await.unwrap()).await
}

/// Two slow devices, with an alarm each.
async fn two_alarms(folder: &TempDir) -> Coordinator {
    let series = [("a1", confirmed()), ("a2", confirmed()), ("b1", normal())];
    let story = Story::of("lab").night(3, NightState::Done, &series);
    let story = story
        .alarm(7, 3, "a1", confirmed())
        .alarm(8, 3, "a2", confirmed());
    let store = Sqlite::open(folder.path()).await.unwrap();
    story.book("a1").book("a2").write(&store).await;
    Coordinator::start(store).await
}

async fn alarms(coordinator: &Coordinator) -> AlarmsDocument {
    ask(coordinator, "regressions --since 2026-11-01 --format json")
        .await
        .json()
}

#[tokio::test]
async fn what_is_acknowledged_fails_nothing_after_a_restart_either() {
    let folder = TempDir::new().unwrap();
    let coordinator = two_alarms(&folder).await;
    let ran = ask(
        &coordinator,
        "regressions ack 7 --reason driver~580 --user ada",
    )
    .await;
    ran.is(0, &["alarm 7 is acknowledged"]);
    ask(&coordinator, "regressions")
        .await
        .is(1, &["alarm 7 (acknowledged)", "alarm 8 (open)"]);
    ask(&coordinator, "regressions ack 8 --reason same")
        .await
        .is(0, &[]);
    ask(&coordinator, "regressions")
        .await
        .is(0, &["known to ada", "driver 580", "known to tester"]);
    coordinator.stop().await;

    let coordinator = serve(&folder).await;
    ask(&coordinator, "regressions --strict")
        .await
        .is(0, &["2 acknowledged", "known to ada"]);
    let shown = alarms(&coordinator).await;
    assert_eq!(shown.alarms[0].acknowledged_by.as_deref(), Some("ada"));
    assert_eq!(
        shown.alarms[0].acknowledged_reason.as_deref(),
        Some("driver 580")
    );
    let log: ActionsDocument = ask(&coordinator, "regressions log --format json")
        .await
        .json();
    let log: Vec<_> = log
        .actions
        .iter()
        .map(|it| {
            (
                it.user.as_str(),
                it.caller.as_str(),
                it.action.as_str(),
                it.alarm,
            )
        })
        .collect();
    assert_eq!(
        log,
        [
            ("tester", "local", "acknowledge", Some(8)),
            ("ada", "local", "acknowledge", Some(7)),
        ]
    );
    let table = ask(&coordinator, "regressions log").await;
    table.is(0, &["ada (local)", "acknowledge", "driver 580"]);
    ask(&coordinator, "regressions log --limit 1")
        .await
        .is(0, &["same"])
        .without(&["driver 580"]);
    let markdown = ask(&coordinator, "regressions log --format markdown").await;
    markdown.is(0, &["| when |"]);
    coordinator.stop().await;
}

#[tokio::test]
async fn muting_and_a_new_baseline_end_what_they_should() {
    let folder = TempDir::new().unwrap();
    let coordinator = two_alarms(&folder).await;
    let muted = ask(&coordinator, "regressions mute 7 --reason fan~ordered").await;
    muted.is(0, &["alarm 7: silent for 14 days (1 series)"]);
    let ran = ask(&coordinator, "regressions rebaseline 8 --reason for~good").await;
    ran.is(0, &["alarm 8: a new baseline begins (1 series)"]);
    let states: Vec<AlarmState> = alarms(&coordinator)
        .await
        .alarms
        .iter()
        .map(|alarm| alarm.state)
        .collect();
    assert_eq!(states, [AlarmState::Acknowledged, AlarmState::Resolved]);
    ask(&coordinator, "regressions")
        .await
        .is(0, &["1 acknowledged"]);
    // What is over can be labelled, and nothing else; of several alarms all are answered, or none.
    let refused = ask(&coordinator, "regressions ack 7 8 --reason again").await;
    refused.is(2, &["alarm 8 is over", "labelled"]);
    let log: ActionsDocument = ask(&coordinator, "regressions log --format json")
        .await
        .json();
    assert_eq!(log.actions.len(), 2);
    coordinator.stop().await;
}

#[tokio::test]
async fn labels_tell_the_precision() {
    let folder = TempDir::new().unwrap();
    let coordinator = two_alarms(&folder).await;
    ask(&coordinator, "regressions")
        .await
        .is(1, &["No alarm is labelled yet"]);
    let ran = ask(&coordinator, "regressions label 7 true").await;
    ran.is(
        0,
        &[
            "alarm 7 is labelled: right",
            "Precision 1.00: 1 of 1",
            "unlabelled: 1",
        ],
    );
    let ran = ask(&coordinator, "regressions label 8 false --reason backup").await;
    ran.is(0, &["noise", "Precision 0.50: 1 of 2 labelled"]);
    let ran = ask(&coordinator, "regressions label 7 8 false").await;
    ran.is(0, &["Precision 0.00: 0 of 2"]);
    let labelled = alarms(&coordinator).await;
    assert_eq!((labelled.labels.right, labelled.labels.wrong), (0, 2));
    coordinator.stop().await;
}

#[tokio::test]
async fn who_did_it_is_said_or_found_out() {
    let folder = TempDir::new().unwrap();
    let coordinator = two_alarms(&folder).await;
    let label = "regressions label 7 true";
    for environment in [
        &[("BATCHSTEP_USER", "robot"), ("USER", "nobody")][..],
        &[("USER", "grace")],
        &[("USER", "")],
    ] {
        ask_with(&coordinator, label, environment).await.is(0, &[]);
    }
    // The coordinator may be named by the environment, too.
    let url = format!("http://{}", coordinator.address);
    let environment = [("BATCHSTEP_COORDINATOR", url.as_str())];
    let ran = super::batchstep("regressions label 7 false --user lin", &environment).await;
    ran.is(0, &["noise"]);
    let log: ActionsDocument = ask(&coordinator, "regressions log --format json")
        .await
        .json();
    let users: Vec<&str> = log
        .actions
        .iter()
        .map(|action| action.user.as_str())
        .collect();
    assert_eq!(users[0], "lin");
    assert!(users[1].starts_with("uid "), "{users:?}");
    assert_eq!(users[2..], ["grace", "robot"]);
    coordinator.stop().await;
}
