//! Daemons that are asked to stop in the middle of a sweep: they do so in order, and in time whoever does not answer them.

use std::time::Duration;

use batchstep_tests::Process;

use crate::{
    fault::{Fault, STOPPED_WITHIN},
    fleet::{Fleet, Who, within},
    network::Flow,
};

const MOMENT: Duration = Duration::from_millis(150);

#[test]
fn daemons_stop_in_order_and_go_on_after_a_restart() {
    let mut fleet = Fleet::new();
    fleet.submit();
    fleet.work_on(1, MOMENT);
    refuses_a_second_coordinator(&fleet);
    for who in [Who::Coordinator, Who::Agent(0), Who::Agent(1)] {
        fleet.work_on(3, MOMENT);
        Fault::Stopped(who).strike(&mut fleet, MOMENT);
    }
    fleet.ends_undisturbed();
}

#[test]
fn daemons_stop_in_time_where_nobody_answers() {
    let mut fleet = Fleet::new();
    fleet.submit();
    fleet.work_on(3, MOMENT);
    fleet.network.set_both(Flow::Held);
    for who in [Who::Coordinator, Who::Agent(0)] {
        within(STOPPED_WITHIN, "the stop", || fleet.stop(who));
    }
    fleet.network.set_both(Flow::Free);
    for who in [Who::Coordinator, Who::Agent(0)] {
        fleet.start(who);
    }
    fleet.ends_undisturbed();
}

/// Two coordinators on the same data would each undo what the other does.
fn refuses_a_second_coordinator(fleet: &Fleet) {
    let mut second = fleet.lab.batchstep(&["serve", "--listen", "127.0.0.1:0"]);
    second.arg("--data-dir").arg(fleet.lab.path("data"));
    let end = Process::run("a second batchstep serve", &mut second);
    assert_eq!(end.code(), 3, "{}", end.stderr);
    let told = "another coordinator uses the data directory";
    assert!(end.stderr.contains(told), "{}", end.stderr);
}
