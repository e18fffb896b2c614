//! Batch sizes that kill their worker: they are left out, and nothing else is.

use serde_json::Value;

use crate::{
    books,
    fleet::{Fleet, Who},
};

/// The usual law on a device whose worker dies at 24 always, and now and then for reasons of its own.
const FRAGILE: &str = "
speed = 20
[[device]]
model = 'Fragile'
law = { constant = 0.004, slope = 1e-5, combs = [{ period = 16, jump = 0.001 }] }
faults = { crashes_at = [24], killed_every = 90 }
";

#[test]
fn a_batch_size_that_kills_its_worker_is_quarantined_and_the_others_are_answered() {
    let mut fleet = Fleet::with_devices(FRAGILE);
    fleet.submit();
    // What is known of crashes is on record: a new coordinator does not try again.
    fleet.work_on(6, std::time::Duration::ZERO);
    fleet.kill(Who::Coordinator);
    fleet.start(Who::Coordinator);
    let outcome = fleet.outcome();
    let row = &outcome.table["rows"][0];
    assert_eq!(row["verdict"], "step", "{row}");
    assert_eq!(row["step"], 16.0, "{row}");
    assert_eq!(row["agreeing_devices"], 3, "{row}");
    assert_eq!(row["batch_sizes_measured"], 63, "{row}");
    let sizes: Vec<u64> = outcome
        .blocks
        .iter()
        .map(|range| range.batch_size)
        .collect();
    assert!(!sizes.contains(&24), "{sizes:?}");

    // Two rounds on each device ended with it, and what was out behind them at most.
    let at_24 = "SELECT COUNT(*) FROM report WHERE outcome = 'broken' AND message LIKE '%batch size 24%' \
        GROUP BY (SELECT series_id FROM round WHERE round.id = round_id)";
    let crashes = books::ask(&fleet.lab, at_24);
    let crashes: Vec<u64> = crashes
        .iter()
        .filter_map(|row| row.first().and_then(Value::as_u64))
        .collect();
    assert_eq!(crashes.len(), 3, "{crashes:?}");
    assert!(
        crashes.iter().all(|count| (2..=4).contains(count)),
        "{crashes:?}"
    );

    let explained = fleet
        .lab
        .ask(&["sweep", "show", "last", "--explain"])
        .stdout;
    let told = "batch size 24 was left out: the worker crashed at it again";
    // Of each series, and in the row of the table.
    assert_eq!(explained.matches(told).count(), 3 + 1, "{explained}");
}
