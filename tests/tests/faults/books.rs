//! What must be true once a sweep is over, whatever happened: nothing that was measured is lost, nothing counts twice, and the table is that of an
//! undisturbed run. Reads the agents' state directories, their logs and the coordinator's database.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use batchstep_tests::{Lab, Process, eventually};
use serde_json::Value;

use crate::fleet::{AGENTS, Fleet, Outcome};

/// Relative difference of two times that are the same: they are told in whole nanoseconds.
const ROUNDING: f64 = 1e-6;

/// What the rows of two sweeps must agree on. Blocks and measuring time are not among it: rounds that were lost are measured again.
const ANSWERS: [&str; 18] = [
    "device_model",
    "workload",
    "verdict",
    "step",
    "step_interval",
    "offset",
    "kind",
    "profile",
    "confidence",
    "jump_at",
    "jump_relative",
    "other_steps",
    "recommended_batch_sizes",
    "best_throughput",
    "knee_batch_size",
    "batch_sizes_measured",
    "agreeing_devices",
    "reason",
];

/// Queries that find what must not be, each with its meaning.
const IMPOSSIBLE: [(&str, &str); 9] = [
    (
        "an attempt has ended twice",
        "SELECT attempt_id, COUNT(*) FROM report WHERE outcome IS NOT NULL GROUP BY 1 HAVING COUNT(*) > 1",
    ),
    (
        "a part was counted twice, or is missing",
        "SELECT attempt_id, COUNT(*), MAX(part) FROM report GROUP BY 1 HAVING COUNT(*) <> MAX(part) + 1 OR COUNT(DISTINCT part) <> COUNT(*)",
    ),
    (
        "a visit of a round has two results",
        "SELECT round_id, visit, COUNT(*) FROM (SELECT report_seq, visit FROM block UNION ALL SELECT report_seq, visit FROM visit_failure) \
         JOIN report ON seq = report_seq GROUP BY 1, 2 HAVING COUNT(*) > 1",
    ),
    (
        "a report does not count",
        "SELECT attempt_id, disposition, message FROM report WHERE disposition <> 'accepted'",
    ),
    (
        "an attempt is still open",
        "SELECT id, state FROM attempt WHERE state IN ('assigned', 'accepted')",
    ),
    (
        "an attempt is said to have reported and has not, or the other way round",
        "SELECT id, state FROM attempt WHERE (state = 'reported') <> (id IN (SELECT attempt_id FROM report WHERE outcome IS NOT NULL))",
    ),
    (
        "a round was never ended",
        "SELECT id, idx FROM round WHERE ended = 0",
    ),
    ("a row is of nothing", "PRAGMA foreign_key_check"),
    (
        "the database is damaged",
        "SELECT * FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
    ),
];

/// Fastest and slowest block of a device model at a batch size.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    pub model: String,
    pub batch_size: u64,
    pub seconds: [f64; 2],
}

/// Checks that nothing of a fleet's sweep was lost and nothing is there twice.
pub fn balance(fleet: &Fleet, sweep: &str) {
    let states: Vec<PathBuf> = (0..AGENTS).map(|index| fleet.state_dir(index)).collect();
    kept(&fleet.lab, sweep, &states, |index| fleet.said(index));
}

/// The same for agents with these state directories, which have `said` so much.
pub fn kept(lab: &Lab, sweep: &str, states: &[PathBuf], said: impl Fn(usize) -> String) {
    for state in states {
        eventually("agents to deliver everything", || {
            (spooled(state) == 0 && count(&state.join("accepted")) == 0).then_some(())
        });
        assert_eq!(count(&state.join("spool/set-aside")), 0, "{sweep}");
    }
    for (meaning, query) in IMPOSSIBLE {
        let found = ask(lab, query);
        assert!(found.is_empty(), "{meaning}: {found:?}");
    }
    let stored: BTreeMap<String, u64> = ask(
        lab,
        "SELECT attempt_id, SUM((SELECT COUNT(*) FROM block WHERE report_seq = seq) + (SELECT COUNT(*) FROM visit_failure WHERE report_seq = seq)) \
         FROM report GROUP BY 1",
    )
    .iter()
    .map(|row| {
        let attempt = row[0].as_str().expect("an id");
        (attempt.to_owned(), row[1].as_u64().expect("a count"))
    })
    .collect();
    for (attempt, visits) in (0..states.len()).flat_map(|index| measured(&said(index))) {
        assert_eq!(
            stored.get(&attempt),
            Some(&visits),
            "results of attempt {attempt} as its agent told them, and as they are stored"
        );
    }
}

/// Attempts that agents have said to be over, each with its number of results.
fn measured(log: &str) -> Vec<(String, u64)> {
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["fields"]["message"] == "A round ended.")
        .map(|line| {
            let fields = &line["fields"];
            let attempt = fields["attempt"].as_str().expect("an id");
            let visits = fields["visits_done"].as_u64();
            (attempt.to_owned(), visits.expect("a count"))
        })
        .collect()
}

/// Reports without a receipt in an agent's state directory.
pub fn spooled(state: &Path) -> usize {
    let files = fs::read_dir(state.join("spool")).into_iter().flatten();
    files
        .flatten()
        .filter(|file| file.path().extension().is_some_and(|it| it == "report"))
        .count()
}

/// Files in a folder.
pub fn count(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

/// The blocks of a sweep that count.
pub fn blocks(fleet: &Fleet, sweep: &str) -> Vec<Range> {
    let query = format!(
        "SELECT device_model, batch_size, MIN(seconds_per_iteration), MAX(seconds_per_iteration) FROM measurement \
         WHERE sweep_id LIKE '{sweep}%' GROUP BY 1, 2 ORDER BY 1, 2"
    );
    ask(&fleet.lab, &query)
        .iter()
        .map(|row| Range {
            model: row[0].as_str().expect("a name").to_owned(),
            batch_size: row[1].as_u64().expect("a batch size"),
            seconds: [2, 3].map(|column| row[column].as_f64().expect("seconds")),
        })
        .collect()
}

/// Rows of a query, read beside the running coordinator.
pub fn ask(lab: &Lab, query: &str) -> Vec<Vec<Value>> {
    const ASK: &str = "import json, sqlite3, sys\n\
        database = sqlite3.connect(f'file:{sys.argv[1]}?mode=ro', uri=True)\n\
        print(json.dumps(database.execute(sys.argv[2]).fetchall()))";
    let mut python = Command::new("python3");
    python
        .args(["-c", ASK])
        .arg(lab.path("data/coordinator.db"))
        .arg(query);
    let end = Process::run("python3", &mut python);
    assert_eq!(end.code(), 0, "{query}\n{}", end.stderr);
    serde_json::from_value(end.json()).expect("rows are lists")
}

/// Checks that two sweeps have found the same.
pub fn same(disturbed: &Outcome, undisturbed: &Outcome) {
    let rows = |outcome: &Outcome| {
        let rows = outcome.table["rows"].as_array().expect("rows are a list");
        rows.clone()
    };
    let (ours, theirs) = (rows(disturbed), rows(undisturbed));
    assert_eq!(ours.len(), theirs.len(), "{ours:?}\n{theirs:?}");
    for (our, their) in ours.iter().zip(&theirs) {
        for field in ANSWERS {
            assert!(
                agrees(&our[field], &their[field]),
                "{field} is {}, and {} without faults\n{our}",
                our[field],
                their[field]
            );
        }
    }
    assert_eq!(disturbed.blocks.len(), undisturbed.blocks.len());
    for (our, their) in disturbed.blocks.iter().zip(&undisturbed.blocks) {
        let same = (&our.model, our.batch_size) == (&their.model, their.batch_size)
            && (0..2).all(|end| close(our.seconds[end], their.seconds[end]));
        assert!(same, "{our:?}, and without faults {their:?}");
    }
}

fn agrees(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(our), Value::Number(their)) => close(
            our.as_f64().unwrap_or(f64::NAN),
            their.as_f64().unwrap_or(f64::NAN),
        ),
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len()
                && ours
                    .iter()
                    .zip(theirs)
                    .all(|(our, their)| agrees(our, their))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours
                    .iter()
                    .all(|(name, our)| theirs.get(name).is_some_and(|their| agrees(our, their)))
        }
        _ => ours == theirs,
    }
}

fn close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= ROUNDING * theirs.abs().max(1e-3)
}
