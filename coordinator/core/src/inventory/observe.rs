//! What a new document means: which hosts and devices are new, gone, back or elsewhere, and which fields have another value.
//!
//! An agent's word counts where it became different: compared is what it says now with what it said before, so that two agents that see one device
//! differently make no event a minute. An agent that cannot tell (its NVML does not work, the device is lost) changes nothing but that.

use std::collections::BTreeMap;

use batchstep_proto::{
    ids::AgentId,
    inventory::{Absent, Class, Document, Gpu, Nvml, NvmlState, Reading, Record, Value, catalogue},
};
use jiff::{SignedDuration, Timestamp};

use super::{
    change::{Change, ChangeKind, Told},
    fleet::Fleet,
    rows::{Agent, Device, Host, Observation, Presence, Report, Snapshot, before, devices},
};

/// How long a host keeps a device that another one reports as well, while its own agent is away: a restart of either side, or of the coordinator, must not
/// make it move.
const DUPLICATE_GRACE: SignedDuration = SignedDuration::from_hours(24);

impl Fleet {
    /// Compares a document with what is known. Changes nothing: see [`Fleet::apply`].
    #[must_use]
    pub fn observe(&self, at: Timestamp, report: Report) -> Observation {
        let Report {
            agent,
            machine_id,
            document,
            age,
        } = report;
        let prior = self
            .agents
            .get(&agent)
            .and_then(|agent| agent.snapshot.as_ref())
            .filter(|snapshot| snapshot.machine_id == machine_id);
        let read_at = before(at, age);
        let mut observer = Observer {
            fleet: self,
            at,
            read_at,
            agent,
            machine_id: &machine_id,
            hostname: document
                .host
                .get(catalogue::host::HOSTNAME)
                .unwrap_or_else(|| self.hostname(&machine_id)),
            prior,
            is_alone: !self
                .crew(&machine_id)
                .any(|(other, state, _)| other != agent && state.session.is_some()),
            document: &document,
            devices: BTreeMap::new(),
            changes: Vec::new(),
        };
        let host = observer.host();
        for (gpu, parent) in devices(&document) {
            let began = observer.changes.len();
            observer.device(gpu, parent);
            observer.leave_to_parent(parent, began);
        }
        observer.absentees();
        let (changes, devices) = (observer.changes, observer.devices.into_values().collect());
        let digest = document.digest();
        Observation {
            agent,
            at,
            is_new: prior.is_none_or(|prior| prior.digest != digest),
            host,
            devices,
            changes,
            snapshot: Snapshot {
                machine_id,
                document,
                digest,
                received_at: at,
                read_at,
                sample: None,
            },
        }
    }
}

struct Observer<'a> {
    fleet: &'a Fleet,
    at: Timestamp,
    read_at: Timestamp,
    agent: AgentId,
    machine_id: &'a str,
    hostname: String,
    /// What the agent said before of this host.
    prior: Option<&'a Snapshot>,
    /// No other agent of this host is connected.
    is_alone: bool,
    document: &'a Document,
    /// Rows that became different.
    devices: BTreeMap<String, Device>,
    changes: Vec<Change>,
}

impl Observer<'_> {
    fn works(&self) -> bool {
        self.document.nvml.state == NvmlState::Running
    }

    fn host(&mut self) -> Option<Host> {
        let Some(known) = self.fleet.hosts.get(self.machine_id) else {
            self.change(ChangeKind::HostAppeared, None);
            self.nvml(None);
            return Some(Host {
                machine_id: self.machine_id.to_owned(),
                facts: lasting(&self.document.host),
                nvml: self.document.nvml.clone(),
                first_seen: self.at,
                last_seen: self.at,
            });
        };
        let mut host = Host::clone(known);
        let said = self.prior.map(|prior| &prior.document.host);
        let different = merge(
            &mut host.facts,
            &self.document.host,
            said,
            self.is_alone,
            self.works(),
        );
        for difference in different {
            self.field(None, None, difference);
        }
        let said = self.prior.map(|prior| &prior.document.nvml);
        if said.is_some_and(|said| *said != self.document.nvml) || said.is_none() && self.is_alone {
            self.nvml(Some(known.nvml.state));
            host.nvml = self.document.nvml.clone();
        }
        (host != **known).then_some(Host {
            last_seen: self.at,
            ..host
        })
    }

    /// Notes another state of NVML than before.
    fn nvml(&mut self, before: Option<NvmlState>) {
        let Nvml { state, message } = &self.document.nvml;
        let kind = match (state, before) {
            (now, Some(before)) if *now == before => return,
            // A host begins with a working NVML, or without a driver: that is no news.
            (NvmlState::Running | NvmlState::NoDriver, None) => return,
            (NvmlState::Running, Some(_)) => ChangeKind::NvmlRecovered,
            (NvmlState::NoDriver, Some(_)) => ChangeKind::NvmlNoDriver,
            (NvmlState::Failed, _) => ChangeKind::NvmlFailed,
            (NvmlState::Hung, _) => ChangeKind::NvmlHung,
        };
        let after = message.clone().map(Value::Text).map(Told::Value);
        self.changes.push(Change {
            after,
            ..self.entry(kind, None)
        });
    }

    fn device(&mut self, gpu: &Gpu, parent: Option<&Gpu>) {
        let uuid = gpu.uuid();
        let Some(known) = self.fleet.devices.get(&uuid) else {
            self.appeared(uuid, gpu, parent);
            return;
        };
        let mut device = Device::clone(known);
        device.parent = parent.map(Gpu::uuid);
        if known.machine_id == self.machine_id {
            let said = self.prior.and_then(|prior| Some(prior.find(&uuid)?.0));
            self.stays_here(&mut device, gpu, said);
        } else if known.presence != Presence::Vanished && self.is_held_elsewhere(known) {
            if device.duplicates.insert(self.machine_id.to_owned()) {
                self.changes.push(Change {
                    previous_host: Some(self.home(known)),
                    ..self.entry(ChangeKind::Duplicate, Some(&device))
                });
            }
            device.parent.clone_from(&known.parent);
        } else {
            let (machine_id, hostname) = (self.machine_id.to_owned(), self.hostname.clone());
            self.arrives(&mut device, gpu, machine_id, hostname);
        }
        self.keep(known, device);
    }

    /// Takes back what only repeats of an instance what is told of its GPU: that it is lost, or back.
    fn leave_to_parent(&mut self, parent: Option<&Gpu>, began: usize) {
        let is_told = parent.is_some_and(|parent| {
            let known = self.fleet.devices.get(&parent.uuid());
            presence(parent) == Presence::Lost
                || known.is_some_and(|known| known.presence == Presence::Lost)
        });
        if !is_told {
            return;
        }
        let mut of_instance = self.changes.split_off(began);
        of_instance
            .retain(|change| !matches!(change.kind, ChangeKind::Lost | ChangeKind::Returned));
        self.changes.append(&mut of_instance);
    }

    fn appeared(&mut self, uuid: String, gpu: &Gpu, parent: Option<&Gpu>) {
        let mut device = Device {
            uuid: uuid.clone(),
            parent: parent.map(Gpu::uuid),
            machine_id: self.machine_id.to_owned(),
            duplicates: Default::default(),
            facts: lasting(&gpu.facts),
            presence: presence(gpu),
            first_seen: self.at,
            last_seen: self.read_at,
            stays: Vec::new(),
        };
        device.move_to(self.machine_id, &self.hostname, self.at);
        self.change(ChangeKind::Appeared, Some(&device));
        if device.presence == Presence::Lost {
            self.change(ChangeKind::Lost, Some(&device));
        }
        self.devices.insert(uuid, device);
    }

    /// A device of this host, as it is now; `said` is what this agent said of it before.
    fn stays_here(&mut self, device: &mut Device, gpu: &Gpu, said: Option<&Gpu>) {
        let was = device.presence;
        let seen = self.fleet.device_seen(device);
        device.presence = presence(gpu);
        if device.presence == Presence::Lost {
            // The last time that it answered; later reads of its host do not count.
            device.last_seen = seen;
        }
        match (was, device.presence) {
            (Presence::Vanished | Presence::Present, Presence::Lost) => {
                self.change(ChangeKind::Lost, Some(device));
            }
            (Presence::Vanished | Presence::Lost, Presence::Present) => {
                self.change(ChangeKind::Returned, Some(device));
            }
            _ => {}
        }
        if was == Presence::Vanished {
            let (machine_id, hostname) = (self.machine_id.to_owned(), self.hostname.clone());
            device.move_to(&machine_id, &hostname, self.at);
        }
        let different = merge(
            &mut device.facts,
            &gpu.facts,
            said.map(|said| &said.facts),
            self.is_alone,
            self.works(),
        );
        for difference in different {
            self.field(Some(&device.uuid), device.model(), difference);
        }
    }

    /// A device that another host had.
    fn arrives(&mut self, device: &mut Device, gpu: &Gpu, machine_id: String, hostname: String) {
        let previous = self.home(device);
        let began = self.changes.len();
        device.duplicates.remove(&machine_id);
        device.move_to(&machine_id, &hostname, self.at);
        device.presence = presence(gpu);
        self.changes.push(Change {
            previous_host: Some(previous),
            ..self.entry(ChangeKind::Moved, Some(device))
        });
        if device.presence == Presence::Lost {
            self.change(ChangeKind::Lost, Some(device));
        }
        for difference in merge(&mut device.facts, &gpu.facts, None, true, true) {
            self.field(Some(&device.uuid), device.model(), difference);
        }
        for change in &mut self.changes[began..] {
            change.machine_id.clone_from(&machine_id);
            change.hostname.clone_from(&hostname);
        }
    }

    /// True when another host has the device and may be believed.
    fn is_held_elsewhere(&self, device: &Device) -> bool {
        let claimed_before = device.duplicates.contains(self.machine_id);
        let is_believed = |agent: &Agent| {
            // Nobody can be heard while the coordinator does not run.
            let heard = agent.heard.max(self.fleet.began);
            agent.session.is_some()
                || claimed_before && self.at.duration_since(heard) < DUPLICATE_GRACE
        };
        self.fleet
            .crew(&device.machine_id)
            .any(|(id, agent, snapshot)| {
                id != self.agent && is_believed(agent) && snapshot.find(&device.uuid).is_some()
            })
    }

    /// The devices of this host that the document does not have.
    fn absentees(&mut self) {
        let missing: Vec<_> = self
            .fleet
            .place(self.machine_id)
            .filter(|device| {
                devices(self.document).all(|(gpu, _)| !super::rows::is(gpu, &device.uuid))
            })
            .filter(|device| !self.is_reported_by_another(device))
            .collect();
        for known in missing {
            let mut device = Device::clone(known);
            if known.machine_id != self.machine_id {
                device.duplicates.remove(self.machine_id);
            } else if known.presence != Presence::Vanished && self.knows_it_is_gone(known) {
                self.departs(&mut device);
            }
            self.keep(known, device);
        }
    }

    /// True when another agent of this host is connected and has the device.
    fn is_reported_by_another(&self, device: &Device) -> bool {
        self.fleet
            .crew(self.machine_id)
            .any(|(id, agent, snapshot)| {
                id != self.agent && agent.session.is_some() && snapshot.find(&device.uuid).is_some()
            })
    }

    /// True when the document means that the device is not there, and not only that this agent cannot see it.
    fn knows_it_is_gone(&self, device: &Device) -> bool {
        let can_tell = matches!(
            self.document.nvml.state,
            NvmlState::Running | NvmlState::NoDriver
        );
        let parent_is_lost = device.parent.as_ref().is_some_and(|parent| {
            let mut gpus = self.document.gpus.iter();
            gpus.any(|gpu| gpu.uuid() == *parent && presence(gpu) == Presence::Lost)
        });
        // An agent in a container sees some of the devices only: one that it never saw is not its to miss.
        let was_its_own = match self.prior {
            Some(prior) => prior.find(&device.uuid).is_some(),
            None => self.is_alone,
        };
        can_tell && !parent_is_lost && (was_its_own || self.prior_was_blind() && self.is_alone)
    }

    /// The agent's report before this one was of a host whose NVML did not work.
    fn prior_was_blind(&self) -> bool {
        self.prior
            .is_some_and(|prior| prior.document.nvml.state != NvmlState::Running)
    }

    /// A device that this host has no more: another one may have claimed it already.
    fn departs(&mut self, device: &mut Device) {
        let fleet = self.fleet;
        let heir = device.duplicates.iter().find_map(|machine_id| {
            let mut crew = fleet.crew(machine_id);
            crew.find_map(|(_, agent, snapshot)| {
                agent.session?;
                Some((machine_id.clone(), snapshot.find(&device.uuid)?.0))
            })
        });
        if let Some((machine_id, gpu)) = heir {
            let hostname = fleet.hostname(&machine_id);
            self.arrives(device, gpu, machine_id, hostname);
        } else {
            device.last_seen = fleet.device_seen(device);
            device.presence = Presence::Vanished;
            device.leave(self.at);
            self.change(ChangeKind::Vanished, Some(device));
        }
    }

    /// Keeps a row that became different.
    fn keep(&mut self, known: &Device, mut device: Device) {
        if device != *known {
            if device.presence == Presence::Present && device.machine_id == self.machine_id {
                device.last_seen = device.last_seen.max(self.read_at);
            }
            self.devices.insert(device.uuid.clone(), device);
        }
    }

    /// Machine id and name of the host that has a device.
    fn home(&self, device: &Device) -> (String, String) {
        (
            device.machine_id.clone(),
            self.fleet.hostname(&device.machine_id),
        )
    }

    fn entry(&self, kind: ChangeKind, device: Option<&Device>) -> Change {
        Change {
            kind,
            machine_id: self.machine_id.to_owned(),
            hostname: self.hostname.clone(),
            uuid: device.map(|device| device.uuid.clone()),
            model: device.and_then(Device::model),
            field: None,
            before: None,
            after: None,
            previous_host: None,
        }
    }

    fn change(&mut self, kind: ChangeKind, device: Option<&Device>) {
        self.changes.push(self.entry(kind, device));
    }

    fn field(&mut self, uuid: Option<&str>, model: Option<String>, difference: Difference) {
        self.changes.push(Change {
            uuid: uuid.map(ToOwned::to_owned),
            model,
            field: Some(difference.field.to_owned()),
            before: Some(difference.before),
            after: Some(difference.after),
            ..self.entry(ChangeKind::Changed, None)
        });
    }
}

/// A field that has another value.
struct Difference {
    field: &'static str,
    before: Told,
    after: Told,
}

/// Takes new readings into what is known, and answers with those that are worth an event. `said` is what the same agent said before.
fn merge(
    known: &mut Record,
    new: &Record,
    said: Option<&Record>,
    is_alone: bool,
    works: bool,
) -> Vec<Difference> {
    let mut different = Vec::new();
    for (field, reading) in new.iter() {
        if field.class == Class::Live || is_no_news(reading, works) {
            continue;
        }
        let said_so_before = said.is_some_and(|said| said.reading(field) == Some(reading));
        match known.reading(field) {
            // Never asked before, as by an older agent, or never read.
            None | Some(Err(Absent::Lost | Absent::Unknown)) => {}
            Some(before) if before == reading || said_so_before => continue,
            // Another agent's word stands until this one sees a change.
            Some(_) if said.is_none() && !is_alone => continue,
            Some(before) if field.class.makes_events() => different.push(Difference {
                field: field.name,
                before: before.into(),
                after: reading.into(),
            }),
            Some(_) => {}
        }
        known.set_value(field, reading.clone());
    }
    different
}

/// True where a reading says more about the reader than about what is read: what was known stays so.
const fn is_no_news(reading: &Reading<Value>, works: bool) -> bool {
    match reading {
        Ok(_) => false,
        Err(Absent::Lost | Absent::Unknown) => true,
        Err(Absent::NotSupported | Absent::NoPermission | Absent::SymbolMissing) => !works,
    }
}

fn presence(gpu: &Gpu) -> Presence {
    if gpu.is_lost() {
        Presence::Lost
    } else {
        Presence::Present
    }
}

fn lasting(record: &Record) -> Record {
    record.only(|field| field.class != Class::Live)
}
