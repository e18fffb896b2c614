//! Agents and a coordinator that do not reach each other, or not whole.

use std::time::Duration;

use batchstep_tests::eventually;

use crate::{
    fault::Fault,
    fleet::Fleet,
    network::{Direction, Flow},
};

const MOMENT: Duration = Duration::from_millis(100);
const A_WHILE: Duration = Duration::from_secs(1);

#[test]
fn connections_that_break_in_the_middle_of_a_message_lose_nothing() {
    let mut fleet = Fleet::at_speed(1);
    fleet.submit();
    // A heartbeat and the head of a frame are shorter than the first two, a report is longer than all.
    for bytes in [5, 30, 700, 1500] {
        for direction in Direction::BOTH {
            fleet.work_on(1, MOMENT);
            let before = fleet.network.hits();
            Fault::Truncated(direction, bytes).strike(&mut fleet, Duration::ZERO);
            fleet.network_hit(before);
        }
    }
    fleet.ends_undisturbed();
}

#[test]
fn garbage_on_the_line_loses_nothing() {
    let mut fleet = Fleet::new();
    fleet.submit();
    for _ in 0..3 {
        for direction in Direction::BOTH {
            fleet.work_on(2, MOMENT);
            let before = fleet.network.hits();
            Fault::Garbled(direction).strike(&mut fleet, Duration::ZERO);
            fleet.network_hit(before);
        }
    }
    fleet.ends_undisturbed();
}

#[test]
fn a_slow_line_and_one_that_stands_still_lose_nothing() {
    let mut fleet = Fleet::new();
    fleet.submit();
    let late = Fault::Late(Duration::from_millis(200));
    let [there, back] = Direction::BOTH.map(Fault::Held);
    for fault in [
        late,
        there,
        Fault::Crumbs,
        back,
        Fault::BlackHole,
        Fault::Cut,
    ] {
        fleet.work_on(1, MOMENT);
        fault.strike(&mut fleet, A_WHILE);
    }
    fleet.ends_undisturbed();
}

/// Finish what runs, start nothing: a drain that nobody could tell the agent holds once it is back.
#[test]
fn an_agent_that_was_drained_while_it_was_cut_off_begins_nothing() {
    let mut fleet = Fleet::new();
    fleet.submit();
    fleet.cut_off_between_rounds_of(0);
    let begun = fleet.rounds_begun_by(0);
    let agent = fleet.agent_id(0);
    let drain = ["agents", "drain", &agent, "--reason", "new fans"];
    assert_eq!(fleet.lab.ask(&drain).code(), 0);
    fleet.network.set_both(Flow::Free);
    eventually(
        "the agent to be back and to have given back everything",
        || {
            let listed = fleet.lab.ask_json(&["agents", "list"]);
            let mut agents = listed["agents"].as_array()?.iter();
            let found = agents.find(|listed| listed["agent_id"] == *agent)?;
            (found["state"] == "drained").then_some(())
        },
    );
    assert_eq!(fleet.rounds_begun_by(0), begun, "{}", fleet.said(0));
    assert!(fleet.said(0).contains("gives this agent no more work"));
    let undrained = fleet.lab.ask(&["agents", "undrain", &agent]);
    assert_eq!(undrained.code(), 0, "{}", undrained.stderr);
    fleet.ends_undisturbed();
}

/// Longer than both ends wait for the answer to a ping: they give the connection up, finish what runs, and start nothing. Afterwards the agents'
/// spools have all of it.
#[test]
fn agents_in_a_black_hole_finish_their_rounds_and_deliver_them_later() {
    let mut fleet = Fleet::new();
    fleet.submit();
    // In the middle of a round that is longer than the probe.
    fleet.work_on_agent(0, 4, MOMENT);
    fleet.network.set_both(Flow::Held);
    fleet.wait_until_all_are_cut_off();
    let begun = fleet.rounds_begun();
    assert!(fleet.spooled() > 0, "finished rounds wait in the spools");
    // An agent that is started meanwhile dials, and finds nobody.
    Fault::KilledWhileCutOff(1).strike(&mut fleet, MOMENT);
    assert!(
        fleet.rounds_begun() <= begun,
        "rounds begin without a coordinator"
    );
    fleet.ends_undisturbed();
}
