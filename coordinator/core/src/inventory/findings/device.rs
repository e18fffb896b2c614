//! Findings about a device by its own values, and about devices of one model by comparing them.

use batchstep_proto::inventory::{Key, catalogue::gpu};
use jiff::Timestamp;

use super::rules::{
    CLOCKS_SLOWED, DUPLICATE_UUID, ECC_PENDING, ECC_UNCORRECTED, Finding, INELIGIBLE, LOST,
    MIG_PENDING, NVLINK_DOWN, PCIE_GENERATION, PCIE_WIDTH, POWER_LIMIT, PROBLEM,
    RETIRED_PAGES_PENDING, ROW_REMAP_FAILED, ROW_REMAP_PENDING, Rule, SKEW, TEMPERATURE, VANISHED,
};
use super::words::since;
use crate::inventory::{
    clock_events,
    model::Model,
    skew::{self, Skew},
    view::{DeviceView, HostView, MISSED_FOR, State},
};

/// Findings about one device; `parent` is the GPU of an instance, and `is_home` true on the host that tells of a UUID that several report.
pub(super) fn findings(
    host: &HostView,
    view: &DeviceView,
    parent: Option<&DeviceView>,
    is_home: bool,
    now: Timestamp,
    found: &mut Vec<Finding>,
) {
    let mut about = About {
        host,
        view,
        now,
        found,
    };
    match view.state {
        State::Vanished => about.vanished(),
        // With its GPU every instance is gone: told of the one, it is told.
        State::Lost if parent.is_some_and(|parent| parent.state == State::Lost) => {}
        State::Lost => about.add(
            &LOST,
            format!("{}{} does not answer any more", about.name(), about.slot()),
        ),
        State::Present | State::Unknown => about.values(),
    }
    if view.state != State::Vanished {
        about.always(is_home);
    }
}

struct About<'a> {
    host: &'a HostView,
    view: &'a DeviceView,
    now: Timestamp,
    found: &'a mut Vec<Finding>,
}

impl About<'_> {
    fn add(&mut self, rule: &'static Rule, message: String) {
        let mut finding = Finding::new(rule, message).on(self.host);
        finding.uuid = Some(self.view.device.uuid.clone());
        finding.model = Some(self.view.model());
        self.found.push(finding);
    }

    /// "NVIDIA H200 3 on node1".
    fn name(&self) -> String {
        let index = self.view.gpu.facts.get(gpu::INDEX);
        let index = index.map_or_else(String::new, |index| format!(" {index}"));
        format!("{}{index} on {}", self.view.model(), self.host.hostname())
    }

    /// ", slot 00000000:18:00.0,": where somebody has to look.
    fn slot(&self) -> String {
        let slot = self.view.gpu.facts.get(gpu::PCI_BUS_ID);
        slot.map_or_else(String::new, |slot| format!(", slot {slot},"))
    }

    /// True while trials run on parts of it; also when those parts are not asked for.
    fn has_instances(&self) -> bool {
        let count = self.view.gpu.facts.get(gpu::MIG_INSTANCE_COUNT);
        let mut instances = self.view.instances.iter();
        count.is_some_and(|count| count > 0)
            || instances.any(|instance| instance.state != State::Vanished)
    }

    fn is_set(&self, key: Key<bool>) -> bool {
        self.view.gpu.facts.get(key) == Some(true)
    }

    fn vanished(&mut self) {
        let age = self.now.duration_since(self.view.last_seen);
        // Instances come and go by somebody's will.
        if self.view.device.parent.is_none() && age <= MISSED_FOR {
            let message = format!(
                "{}{} is gone; last seen {} ago",
                self.name(),
                self.slot(),
                since(age)
            );
            self.add(&VANISHED, message);
        }
    }

    /// What its values say.
    fn values(&mut self) {
        let facts = self.view.gpu.facts.clone();
        let name = self.name();
        if self.is_set(gpu::ROW_REMAP_FAILED) {
            self.add(
                &ROW_REMAP_FAILED,
                format!("{name} has broken memory that could not be replaced"),
            );
        }
        if let Some(errors) = facts.get(gpu::ECC_UNCORRECTED).filter(|errors| *errors > 0) {
            self.add(
                &ECC_UNCORRECTED,
                format!(
                    "{name} has {errors} uncorrected memory errors since its driver was loaded"
                ),
            );
        }
        if self.is_set(gpu::ROW_REMAP_PENDING) {
            self.add(
                &ROW_REMAP_PENDING,
                format!("{name} has a row of memory that waits to be replaced"),
            );
        }
        if self.is_set(gpu::RETIRED_PAGES_PENDING) {
            self.add(
                &RETIRED_PAGES_PENDING,
                format!("{name} has a page of memory that waits to be given up"),
            );
        }
        let both = |now, full| Some((facts.get(now)?, facts.get(full)?));
        if let Some((now, full)) = both(gpu::PCIE_WIDTH, gpu::PCIE_WIDTH_MAX)
            && now < full
        {
            self.add(
                &PCIE_WIDTH,
                format!("{name} uses {now} of {full} PCIe lanes"),
            );
        }
        if let Some((now, full)) = both(gpu::NVLINK_ACTIVE, gpu::NVLINK_COUNT)
            && now < full
        {
            self.add(
                &NVLINK_DOWN,
                format!("{name} has {now} of {full} NVLinks up"),
            );
        }
        let both = |now, other| Some((facts.get(now)?, facts.get(other)?));
        if let Some((limit, usual)) = both(gpu::POWER_LIMIT_WATTS, gpu::POWER_LIMIT_DEFAULT_WATTS)
            && limit < usual
        {
            self.add(
                &POWER_LIMIT,
                format!("{name} is limited to {limit} W, {usual} W is its default"),
            );
        }
        let both = |now, pending| Some((facts.get(now)?, facts.get(pending)?));
        if let Some((now, pending)) = both(gpu::ECC_ENABLED, gpu::ECC_PENDING)
            && now != pending
        {
            let (now, then) = (on(now), on(pending));
            self.add(
                &ECC_PENDING,
                format!("{name}: ECC is {now}, and will be {then} after a reboot"),
            );
        }
        if let Some((now, pending)) = both(gpu::MIG_ENABLED, gpu::MIG_PENDING)
            && now != pending
        {
            let (now, then) = (on(now), on(pending));
            self.add(
                &MIG_PENDING,
                format!("{name}: MIG is {now}, and will be {then} after a reset"),
            );
        }
        if self.view.is_read(self.now) {
            self.live_values(&name);
        }
    }

    /// What its values say about this moment.
    fn live_values(&mut self, name: &str) {
        let facts = self.view.gpu.facts.clone();
        let bits = facts.get(gpu::CLOCK_EVENT_REASONS).unwrap_or(0);
        for event in clock_events::KNOWN {
            if bits & event.bit != 0
                && let Some((what, action)) = event.complaint
            {
                self.add(&CLOCKS_SLOWED, format!("{name}: {what}"));
                if let Some(finding) = self.found.last_mut() {
                    action.clone_into(&mut finding.action);
                }
            }
        }
        if let (Some(now), Some(limit)) = (
            facts.get(gpu::TEMPERATURE_CELSIUS),
            facts.get(gpu::TEMPERATURE_SLOWDOWN_CELSIUS),
        ) && now >= limit
        {
            self.add(
                &TEMPERATURE,
                format!("{name} has {now} degC; it slows down from {limit} degC"),
            );
        }
    }

    /// What holds for a device that is there, whether it answers or not.
    fn always(&mut self, is_home: bool) {
        let name = self.name();
        // Told once.
        if !self.view.also_on.is_empty() && is_home {
            let others = self.view.also_on.join(", ");
            let uuid = &self.view.device.uuid;
            self.add(
                &DUPLICATE_UUID,
                format!("{name}: {uuid} is also reported by {others}"),
            );
        }
        for problem in self.view.gpu.problems.clone() {
            self.add(&PROBLEM, format!("{name}: {problem}"));
        }
        for reason in self.view.gpu.ineligible.clone() {
            let is_told = match reason.code.as_str() {
                // It has a rule of its own.
                "lost" => true,
                // Meant to be so, as long as there is something to measure in its place.
                "mig_parent" => self.has_instances(),
                _ => false,
            };
            if !is_told {
                self.add(&INELIGIBLE, format!("{name}: {}", reason.message));
            }
        }
    }
}

const fn on(flag: bool) -> &'static str {
    if flag { "on" } else { "off" }
}

/// What comparing the devices of a model says.
pub(super) fn of_model(model: &Model, found: &mut Vec<Finding>) {
    for skew in &skew::of(model) {
        if skew.field == gpu::PCIE_GENERATION_MAX.field() {
            slower_slots(model, skew, found);
            continue;
        }
        let mut finding = Finding::new(&SKEW, skew.sentence(&model.label()));
        finding.severity = skew.severity;
        finding.model = Some(model.label());
        found.push(finding);
    }
}

/// Devices whose slot is slower than that of most of their siblings.
fn slower_slots(model: &Model, skew: &Skew, found: &mut Vec<Finding>) {
    let Some((usual, _)) = skew.values.first() else {
        return;
    };
    let generation = |text: &str| text.parse::<u64>().unwrap_or(0);
    for (value, members) in &skew.values[1..] {
        if generation(value) >= generation(usual) {
            continue;
        }
        for odd in members {
            let message = format!(
                "{} on {} reaches PCIe generation {value}, most of {} reach {usual}",
                odd.uuid,
                odd.hostname,
                model.label()
            );
            let mut finding = Finding::new(&PCIE_GENERATION, message);
            finding.machine_id = Some(odd.machine_id.clone());
            finding.hostname = Some(odd.hostname.clone());
            finding.uuid = Some(odd.uuid.clone());
            finding.model = Some(model.label());
            found.push(finding);
        }
    }
}
