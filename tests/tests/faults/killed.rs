//! Processes that die and stand still in the middle of a sweep.

use std::time::Duration;

use crate::{
    fault::Fault,
    fleet::{Fleet, Who},
};

const MOMENT: Duration = Duration::from_millis(150);
const A_WHILE: Duration = Duration::from_millis(800);

#[test]
fn a_killed_coordinator_loses_nothing_alone_or_with_an_agent() {
    let mut fleet = Fleet::new();
    fleet.submit();
    for fault in [
        Fault::Killed(Who::Coordinator),
        Fault::BothKilled(0),
        Fault::BothKilled(1),
    ] {
        fleet.work_on(3, MOMENT);
        fault.strike(&mut fleet, A_WHILE);
    }
    fleet.ends_undisturbed();
}

#[test]
fn killed_agents_lose_their_running_rounds_and_nothing_else() {
    let mut fleet = Fleet::new();
    fleet.submit();
    // The first one as a host in trouble does: in the middle of whatever it is given. That is no fault of a batch size.
    for index in [0, 0, 0, 1, 2] {
        fleet.work_on_agent(index, 2, MOMENT);
        Fault::Killed(Who::Agent(index)).strike(&mut fleet, Duration::ZERO);
    }
    fleet.ends_undisturbed();
}

#[test]
fn processes_that_stand_still_for_a_while_go_on() {
    let mut fleet = Fleet::new();
    fleet.submit();
    for who in [
        Who::Coordinator,
        Who::Agent(0),
        Who::Coordinator,
        Who::Agent(1),
    ] {
        fleet.work_on(2, MOMENT);
        Fault::Paused(who).strike(&mut fleet, 2 * A_WHILE);
    }
    fleet.ends_undisturbed();
}
