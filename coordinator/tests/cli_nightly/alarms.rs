//! `batchstep regressions`: what is shown, in every form, and what it ends with.

use batchstep_coordinator::{
    nightly::document::{AlarmState, AlarmsDocument, Detail},
    store::{Acknowledgement, NightState, Sqlite, StoredAlarm},
};
use batchstep_judge::{Kind, Verdict};
use roxmltree::{Document, Node};
use tempfile::TempDir;

use super::{
    Ran, ask, batchstep,
    story::{
        Story, about, confirmed, date, learning, missing, normal, provisional, throttled, time,
    },
    support::Coordinator,
};

/// A coordinator on a database with these nights.
async fn serve(folder: &TempDir, stories: &[Story]) -> Coordinator {
    let store = Sqlite::open(folder.path()).await.unwrap();
    for story in stories {
        story.write(&store).await;
    }
    Coordinator::start(store).await
}

/// What a command says of these nights.
async fn said(stories: &[Story], line: &str) -> Ran {
    let folder = TempDir::new().unwrap();
    let coordinator = serve(&folder, stories).await;
    let ran = ask(&coordinator, line).await;
    coordinator.stop().await;
    ran
}

fn acknowledged(alarm: &mut StoredAlarm) {
    alarm.acknowledged = Some(Acknowledgement {
        at: time("2026-11-14T08:00:00Z"),
        by: "ada".to_owned(),
        reason: "known".to_owned(),
    });
}

fn resolved(alarm: &mut StoredAlarm) {
    alarm.resolved = Some((time("2026-11-14T08:00:00Z"), "as before again".to_owned()));
}

const DONE: NightState = NightState::Done;

fn slower() -> Story {
    let series = [("a1", confirmed()), ("b1", normal())];
    Story::of("lab")
        .night(3, DONE, &series)
        .alarm(7, 3, "a1", confirmed())
}

fn absent() -> Story {
    let detail = Detail {
        sentence: "host node-c: nothing was reported".to_owned(),
        date: date(3),
        about: Some(about("c1")),
        host: Some("node-c".to_owned()),
        series: 2,
        verdict: Some(missing()),
        ..Detail::default()
    };
    let series = [("b1", normal()), ("c1", missing()), ("c2", missing())];
    let story = Story::of("lab").night(3, DONE, &series);
    story.alarm_about(8, 3, "host node-c", Kind::Missing, detail)
}

#[tokio::test]
async fn exit_codes_say_how_bad_it_is() {
    let night = |series: &[(&str, Verdict)]| Story::of("lab").night(3, DONE, series);
    let all_well = || night(&[("a1", normal()), ("b1", learning())]);
    let doubtful = || night(&[("a1", normal()), ("b1", provisional())]);
    let silenced = Verdict {
        is_silenced: true,
        ..missing()
    };
    let missed = || Story::of("lab").night(3, NightState::Missed, &[]);
    let abandoned = || Story::of("lab").night(3, NightState::Abandoned, &[]);
    let under_way = || {
        let story = Story::of("lab").night(3, DONE, &[("a1", normal())]);
        story.night(4, NightState::Measuring, &[])
    };
    let cases: Vec<(&str, Vec<Story>, &str, i32)> = vec![
        ("no schedule", vec![], "", 0),
        ("no night yet", vec![Story::of("lab")], "", 0),
        ("all as usual", vec![all_well()], "--strict", 0),
        ("the next night is under way", vec![under_way()], "", 0),
        ("an open alarm", vec![slower()], "", 1),
        (
            "it is known",
            vec![slower().with_alarms(acknowledged)],
            "",
            0,
        ),
        ("it is over", vec![slower().with_alarms(resolved)], "", 0),
        (
            "it was open",
            vec![slower().with_alarms(resolved)],
            "--since 2026-11-01",
            0,
        ),
        ("a lost host", vec![absent()], "", 3),
        (
            "a known lost host",
            vec![absent().with_alarms(acknowledged)],
            "",
            0,
        ),
        (
            "a muted series is missing",
            vec![night(&[("a1", silenced)])],
            "",
            0,
        ),
        (
            "a throttled device",
            vec![night(&[("a1", throttled())])],
            "",
            3,
        ),
        ("a missed night", vec![missed()], "", 3),
        ("an abandoned night", vec![abandoned()], "", 3),
        ("doubts", vec![doubtful()], "", 0),
        ("doubts count", vec![doubtful()], "--strict", 4),
        (
            "one of two is missed",
            vec![
                all_well(),
                Story::of("two").night(1, NightState::Missed, &[]),
            ],
            "--strict",
            3,
        ),
        (
            "the other one is asked for",
            vec![
                all_well(),
                Story::of("two").night(1, NightState::Missed, &[]),
            ],
            "--schedule lab",
            0,
        ),
        (
            "bad news outranks a missed night",
            vec![slower(), Story::of("two").night(1, NightState::Missed, &[])],
            "--strict",
            1,
        ),
    ];
    for (what, stories, flags, code) in cases {
        for format in ["table", "json", "junit", "markdown"] {
            let ran = said(&stories, &format!("regressions {flags} --format {format}")).await;
            assert_eq!(ran.code, code, "{what} as {format}: {ran:?}");
        }
    }
}

#[tokio::test]
async fn an_alarm_says_all_that_a_person_needs() {
    let folder = TempDir::new().unwrap();
    let coordinator = serve(&folder, &[slower()]).await;
    let flag = format!(" --coordinator http://{}", coordinator.address);
    let reproduce = format!("batchstep sweep run --devices GPU-a1{flag}");
    let acknowledge = format!("batchstep regressions ack 7 --reason TEXT{flag}");
    let facts = [
        "confirmed",
        "GPU-a1",
        "node-a",
        "linear, train, f32",
        "2 ms",
        "2.2 ms",
        "10.0 % slower",
        "2026-11-12",
        "driver 570.1 -> 580.2",
        &reproduce,
        &acknowledge,
    ];
    let table = ask(&coordinator, "regressions").await;
    let table = table.is(1, &facts);
    table.is(
        1,
        &[
            "1 alarm open",
            "alarm 7 (open)",
            "hits",
            "night 3 of lab",
            "Ends with 1: an alarm is open",
        ],
    );
    let markdown = ask(&coordinator, "regressions --format markdown").await;
    let markdown = markdown.is(1, &facts);
    assert!(
        markdown.stdout.starts_with("### 1 alarm open"),
        "{markdown:?}"
    );
    assert!(markdown.stdout.contains("Example &lt;H1>"), "{markdown:?}");
    let columns: Vec<usize> = markdown
        .stdout
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.matches('|').count())
        .collect();
    assert_eq!(columns, [11, 11, 11], "a table of one row");

    let json: AlarmsDocument = ask(&coordinator, "regressions --format json").await.json();
    assert_eq!(json.schema_version, 1);
    assert_eq!(json.alarms.len(), 1);
    assert_eq!(json.alarms[0].state, AlarmState::Open);
    assert_eq!(json.alarms[0].detail.verdict, Some(confirmed()));
    assert_eq!(json.nights[0].number, 3);
    coordinator.stop().await;
}

fn end<'a>(case: Node<'a, '_>) -> &'a str {
    case.first_element_child()
        .map_or("passed", |end| end.tag_name().name())
}

#[tokio::test]
async fn junit_is_xml_with_a_case_for_every_series() {
    let series = [
        ("a1", confirmed()),
        ("b1", normal()),
        ("c1", missing()),
        ("d1", throttled()),
        ("e1", learning()),
        ("f1", provisional()),
    ];
    let model = Detail {
        sentence: "Example <H1>: 3 % slower on 8 devices".to_owned(),
        device_model: Some("Example".to_owned()),
        workload: Some("linear|train|f32".to_owned()),
        series: 8,
        ..Detail::default()
    };
    let lab = Story::of("lab")
        .night(3, DONE, &series)
        .alarm(7, 3, "a1", confirmed());
    let subject = "Example|linear|train|f32";
    let lab = lab.alarm_about(9, 3, subject, Kind::ModelWide, model);
    let missed = Story::of("two").night(1, NightState::Missed, &[]);
    let ran = said(&[lab, missed], "regressions --format junit")
        .await
        .is(1, &[]);
    let xml = Document::parse(&ran.stdout).unwrap_or_else(|error| panic!("{error}\n{ran:?}"));
    let root = xml.root_element();
    assert_eq!(root.tag_name().name(), "testsuites");
    let number =
        |node: Node<'_, '_>, name: &str| node.attribute(name).unwrap().parse::<u32>().unwrap();
    assert_eq!(
        ["tests", "failures", "errors", "skipped"].map(|name| number(root, name)),
        [8, 2, 1, 3]
    );
    let suites: Vec<Node<'_, '_>> = root.children().filter(Node::is_element).collect();
    let names: Vec<_> = suites
        .iter()
        .map(|suite| suite.attribute("name").unwrap())
        .collect();
    assert_eq!(names, ["lab", "two"]);
    let cases = |suite: &Node<'_, '_>| -> Vec<(String, String)> {
        suite
            .children()
            .filter(|node| node.has_tag_name("testcase"))
            .map(|case| {
                (
                    case.attribute("name").unwrap().to_owned(),
                    end(case).to_owned(),
                )
            })
            .collect()
    };
    let lab = cases(&suites[0]);
    let ends: Vec<&str> = lab.iter().map(|(_, end)| end.as_str()).collect();
    assert_eq!(
        ends,
        [
            "failure", "passed", "skipped", "skipped", "skipped", "passed", "failure"
        ]
    );
    assert_eq!(lab[0].0, "GPU-a1 linear, train, f32");
    assert_eq!(
        cases(&suites[1]),
        [("night of 2026-11-11".to_owned(), "error".to_owned())]
    );
    let failure = xml
        .descendants()
        .find(|node| node.has_tag_name("failure"))
        .unwrap();
    assert_eq!(failure.attribute("type"), Some("confirmed"));
    assert!(
        failure.text().unwrap().contains("10.0 % slower"),
        "{failure:?}"
    );
    let class = failure.parent().unwrap().attribute("classname");
    assert_eq!(class, Some("node-a.Example <H1> & \"Co\""));
}

/// How the cases of a report with one suite end, by name.
fn ends(report: &Ran) -> Vec<(String, String)> {
    let xml = Document::parse(&report.stdout).unwrap_or_else(|error| panic!("{error}\n{report:?}"));
    let cases = xml
        .descendants()
        .filter(|node| node.has_tag_name("testcase"));
    let case = |case: Node<'_, '_>| {
        let name = case.attribute("name").unwrap();
        (name.to_owned(), end(case).to_owned())
    };
    cases.map(case).collect()
}

#[tokio::test]
async fn what_is_missing_is_an_error_until_somebody_knows_of_it() {
    let detail = |device: Option<&str>| Detail {
        about: Some(about("d1")),
        device: device.map(ToOwned::to_owned),
        ..Detail::default()
    };
    // The host of c1 and c2, the device d1, the series e1 by itself; f1 has no alarm. Of g1, which this night knows nothing of, one is open from before.
    let missing_ones = ["c1", "c2", "d1", "e1", "f1"].map(|device| (device, missing()));
    let stories = || {
        absent()
            .night(4, DONE, &missing_ones)
            .alarm_about(9, 4, "device GPU-d1", Kind::Missing, detail(Some("GPU-d1")))
            .alarm_about(10, 4, &about("e1").key(), Kind::Missing, detail(None))
            .alarm_about(11, 3, &about("g1").key(), Kind::Missing, detail(None))
    };
    let line = "regressions --format junit";
    let expected = |unknown: &str| {
        let named = |(name, end): (&str, &str)| (name.to_owned(), end.to_owned());
        [
            ("GPU-c1 linear, train, f32", unknown),
            ("GPU-c2 linear, train, f32", unknown),
            ("GPU-d1 linear, train, f32", unknown),
            ("GPU-e1 linear, train, f32", unknown),
            ("GPU-f1 linear, train, f32", "skipped"),
            ("missing: GPU-g1, linear, train, f32", unknown),
        ]
        .map(named)
    };
    let open = said(&[stories()], line).await;
    let open = open.is(
        3,
        &["errors=\"5\"", "Ends with 3: ", "something is missing"],
    );
    assert_eq!(ends(&open), expected("error"));
    let known = said(&[stories().with_alarms(acknowledged)], line).await;
    let known = known.is(3, &["errors=\"0\"", "known to ada"]);
    assert_eq!(ends(&known), expected("skipped"));
}

#[tokio::test]
async fn what_somebody_knows_of_fails_no_test() {
    let ran = said(
        &[slower().with_alarms(acknowledged)],
        "regressions --format junit",
    )
    .await;
    let ran = ran.is(0, &["failures=\"0\"", "known to ada"]);
    let xml = Document::parse(&ran.stdout).unwrap();
    let case = xml.descendants().find(|node| node.has_tag_name("testcase"));
    assert_eq!(end(case.unwrap()), "skipped");
}

#[tokio::test]
async fn alarms_that_are_over_are_shown_from_a_time_on() {
    let folder = TempDir::new().unwrap();
    let coordinator = serve(&folder, &[slower().with_alarms(resolved)]).await;
    ask(&coordinator, "regressions")
        .await
        .is(0, &["No alarm is open"])
        .without(&["alarm 7"]);
    let since = ask(&coordinator, "regressions --since 2026-11-14").await;
    since.is(
        0,
        &[
            "alarm 7 (over)",
            "as before again",
            "1 over since 2026-11-14 00:00 UTC",
        ],
    );
    let later = ask(&coordinator, "regressions --since 2026-11-15").await;
    later.is(0, &["0 over"]).without(&["alarm 7"]);
    coordinator.stop().await;
}

#[tokio::test]
async fn questions_that_make_no_sense_are_named() {
    let folder = TempDir::new().unwrap();
    let coordinator = serve(&folder, &[slower()]).await;
    for (line, said) in [
        ("regressions --since soon", &["--since", "36h or 7d"][..]),
        (
            "regressions --schedule nobody",
            &["\"nobody\"", "batchstep schedule list"],
        ),
        ("regressions --format html", &["--format", "junit"]),
        ("regressions ack", &["ID"]),
        ("regressions ack 7", &["--reason"]),
        ("regressions ack 7 --reason ~", &["--reason"]),
        (
            "regressions ack seven --reason why",
            &["seven", "not the number of an alarm"],
        ),
        ("regressions label 0 true", &["not the number of an alarm"]),
        ("regressions label 7 perhaps", &["perhaps", "true", "false"]),
        (
            "regressions ack 7 99 --reason why",
            &["no alarm 99", "regressions --since 30d"],
        ),
    ] {
        let ran = ask(&coordinator, line).await.is(2, said);
        assert_eq!(ran.stdout, "", "{line}");
    }
    ask(&coordinator, "regressions")
        .await
        .is(1, &["1 alarm open"]);
    coordinator.stop().await;
}

#[tokio::test]
async fn a_look_into_a_data_directory_begins_no_night() {
    let folder = TempDir::new().unwrap();
    let store = Sqlite::open(folder.path()).await.unwrap();
    slower().enabled().write(&store).await;
    drop(store);
    let line = |command: &str| format!("{command} --data-dir {}", folder.path().display());
    // A run of the last days is due: a coordinator that serves would begin it, or say that it was missed.
    batchstep(&line("regressions"), &[])
        .await
        .is(1, &["alarm 7 (open)"]);
    let list = batchstep(&line("nightly list --format json"), &[])
        .await
        .is(0, &[]);
    let nights: serde_json::Value = list.json();
    assert_eq!(nights["nights"].as_array().unwrap().len(), 1);
    let ran = batchstep(&line("schedule run-now lab"), &[]).await;
    ran.is(2, &["no agent measures", "--coordinator"]);
}

#[tokio::test]
async fn markdown_of_a_bad_night_fits_a_comment() {
    // 300 devices whose names are long, all of them slower.
    let devices: Vec<String> = (0..300)
        .map(|number| format!("{number:03}{}", "x".repeat(36)))
        .collect();
    let series: Vec<(&str, Verdict)> = devices
        .iter()
        .map(|device| (device.as_str(), confirmed()))
        .collect();
    let mut story = Story::of("lab").night(3, DONE, &series);
    for (id, device) in (1..).zip(&devices) {
        story = story.alarm(id, 3, device, confirmed());
    }
    let ran = said(&[story], "regressions --format markdown").await;
    let ran = ran.is(
        1,
        &[
            "300 alarms open",
            "Not all of it is here: `batchstep regressions",
        ],
    );
    let length = ran.stdout.chars().count();
    assert!(length < 65_536, "{length} characters");
    assert!(ran.stdout.contains("| 100 (open) |") && !ran.stdout.contains("| 101 (open) |"));
}
