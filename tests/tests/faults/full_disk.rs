//! Disks that fill up under the coordinator's database and the agents' spools.

use std::{thread, time::Duration};

use batchstep_tests::eventually;

use crate::{
    disk::Limit,
    fleet::{AGENTS, Fleet, Who},
    network::Flow,
};

const MOMENT: Duration = Duration::from_millis(100);

#[test]
fn a_coordinator_with_a_full_disk_refuses_reports_and_takes_them_later() {
    let mut fleet = Fleet::new();
    fleet.submit();
    // Nothing at all; some pages of a transaction; in the middle of one.
    for bytes in [0, 65_536, 100_000] {
        fleet.work_on(4, MOMENT);
        let full = Limit::of(fleet.process(Who::Coordinator), bytes);
        let refused = |fleet: &Fleet| -> usize {
            let count = |index| fleet.said(index).matches("A report was not taken").count();
            (0..AGENTS).map(count).sum()
        };
        let before = refused(&fleet);
        eventually("a report to be refused", || {
            (refused(&fleet) > before).then_some(())
        });
        full.lift();
    }
    fleet.ends_undisturbed();
}

/// Cut off and with a full disk an agent has its results in memory only: they reach the disk as soon as there is room, and then survive its end.
#[test]
fn an_agent_with_a_full_disk_keeps_its_results_until_there_is_room() {
    let mut fleet = Fleet::new();
    fleet.submit();
    fleet.work_on(4, MOMENT);
    fleet.network.set_both(Flow::Held);
    // Acceptances still fit, reports do not.
    let full = Limit::of(fleet.process(Who::Agent(0)), 100);
    eventually("a report that does not fit", || {
        fleet
            .said(0)
            .contains("could not be written to the spool")
            .then_some(())
    });
    full.lift();
    eventually("the report on disk", || {
        (fleet.spooled_by(0) > 0).then_some(())
    });
    fleet.kill(Who::Agent(0));
    fleet.network.set_both(Flow::Free);
    fleet.start(Who::Agent(0));
    fleet.ends_undisturbed();
}

/// It cannot put an attempt on record, so it declines; what it had is measured later.
#[test]
fn an_agent_that_can_write_nothing_declines_and_goes_on_later() {
    let mut fleet = Fleet::new();
    fleet.submit();
    fleet.work_on(4, MOMENT);
    let full = Limit::of(fleet.process(Who::Agent(2)), 0);
    eventually("an attempt to be declined", || {
        fleet
            .said(2)
            .contains("An attempt was declined.")
            .then_some(())
    });
    thread::sleep(MOMENT);
    full.lift();
    fleet.ends_undisturbed();
}
