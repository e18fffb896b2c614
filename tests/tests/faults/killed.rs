//! Processes that die and stand still in the middle of a sweep.

use std::time::Duration;

use crate::{
    fault::Fault,
    fleet::{AGENTS, Fleet, Who},
};

const MOMENT: Duration = Duration::from_millis(150);
const A_WHILE: Duration = Duration::from_millis(800);

#[test]
fn a_killed_coordinator_loses_nothing() {
    let mut fleet = Fleet::new();
    fleet.submit();
    for rounds in [1, 7, 6] {
        fleet.work_on(rounds, MOMENT);
        Fault::Killed(Who::Coordinator).strike(&mut fleet, A_WHILE);
    }
    fleet.ends_undisturbed();
}

#[test]
fn killed_agents_lose_their_running_rounds_and_nothing_else() {
    let mut fleet = Fleet::new();
    fleet.submit();
    for index in (0..AGENTS).chain(0..AGENTS) {
        fleet.work_on(2, MOMENT);
        Fault::Killed(Who::Agent(index)).strike(&mut fleet, Duration::ZERO);
    }
    fleet.ends_undisturbed();
}

/// As a host in trouble does: three times in a row, each time in the middle of whatever it was given.
#[test]
fn an_agent_that_is_killed_again_and_again_costs_no_batch_size() {
    let mut fleet = Fleet::new();
    fleet.submit();
    for _ in 0..3 {
        fleet.work_on_agent(0, 2, MOMENT);
        Fault::Killed(Who::Agent(0)).strike(&mut fleet, Duration::ZERO);
    }
    fleet.ends_undisturbed();
}

#[test]
fn an_agent_and_its_coordinator_can_die_together() {
    let mut fleet = Fleet::new();
    fleet.submit();
    for agent in 0..AGENTS {
        fleet.work_on(3, MOMENT);
        Fault::BothKilled(agent).strike(&mut fleet, A_WHILE);
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
        fleet.work_on(3, MOMENT);
        Fault::Paused(who).strike(&mut fleet, 3 * A_WHILE);
    }
    fleet.ends_undisturbed();
}
