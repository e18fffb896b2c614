//! Disks that fill up under the coordinator's database and the agents' spools.

use std::{thread, time::Duration};

use batchstep_tests::eventually;

use crate::{
    books,
    disk::Limit,
    fleet::{Fleet, Who},
    network::Flow,
};

const MOMENT: Duration = Duration::from_millis(100);
const A_WHILE: Duration = Duration::from_millis(1500);

#[test]
fn a_coordinator_with_a_full_disk_records_nothing_and_everything_later() {
    let mut fleet = Fleet::new();
    fleet.submit();
    // Nothing at all; some pages of a transaction; in the middle of one.
    for bytes in [0, 65_536, 100_000] {
        fleet.work_on(4, MOMENT);
        let coordinator = fleet.process(Who::Coordinator);
        let failed = || {
            let said = coordinator.stderr();
            said.matches("A change could not be recorded").count()
        };
        let before = failed();
        let full = Limit::of(coordinator, bytes);
        eventually("a change that cannot be recorded", || {
            (failed() > before).then_some(())
        });
        // Long enough for agents to come back and be sent away.
        thread::sleep(A_WHILE);
        full.lift();
    }
    fleet.ends_undisturbed();
}

/// Cut off and with a full disk an agent has its results in memory only: they reach the disk as soon as there is room, and then survive its end. One
/// that cannot even put an attempt on record declines it, and is asked again.
#[test]
fn an_agent_with_a_full_disk_keeps_its_results_until_there_is_room() {
    let mut fleet = Fleet::new();
    fleet.submit();
    fleet.work_on_agent(0, 2, MOMENT);
    let full = Limit::of(fleet.process(Who::Agent(2)), 0);
    wait_until_said(&fleet, 2, "An attempt was declined.");
    full.lift();

    // In the middle of a round that is longer than the probe.
    fleet.work_on_agent(0, 2, MOMENT);
    fleet.network.set_both(Flow::Held);
    // Acceptances still fit, reports do not.
    let full = Limit::of(fleet.process(Who::Agent(0)), 100);
    wait_until_said(&fleet, 0, "could not be written to the spool");
    full.lift();
    // All of them: an attempt is on record until its last report is on disk, and of one that is not the next process could only say that it was stopped.
    let accepted = fleet.state_dir(0).join("accepted");
    eventually("the reports on disk", || {
        (fleet.spooled_by(0) > 0 && books::count(&accepted) == 0).then_some(())
    });
    fleet.kill(Who::Agent(0));
    fleet.network.set_both(Flow::Free);
    fleet.start(Who::Agent(0));
    fleet.ends_undisturbed();
}

fn wait_until_said(fleet: &Fleet, agent: usize, what: &str) {
    eventually(&format!("agent {agent} to say {what:?}"), || {
        fleet.said(agent).contains(what).then_some(())
    });
}
