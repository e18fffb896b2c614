//! The fleet as people see it: every host with its agents and devices, the newest values where somebody can still be asked, and what was last known where
//! not. JSON, tables, findings, models and metrics are all made of these views.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use batchstep_proto::{
    ids::AgentId,
    inventory::{Absent, Class, Document, Gpu, Nvml, NvmlState, Record, Scope, Unit, catalogue},
};
use jiff::{SignedDuration, Timestamp};

use super::{
    filter::Filter,
    fleet::Fleet,
    rows::{Agent, Device, Greeting, Host, Presence, Snapshot},
};

/// How long live values are worth showing after they were read.
pub const LIVE_FOR: SignedDuration = SignedDuration::from_mins(5);
/// How long a host that is away, or a device that has vanished, is missed; then it counts as taken out for good.
pub(super) const MISSED_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Whether a device is there, as far as anybody can tell now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It is.
    Present,
    /// It is there and does not answer.
    Lost,
    /// Nobody can tell: its agent is not connected, or its NVML does not work.
    Unknown,
    /// It is not there.
    Vanished,
}

impl State {
    /// The stable word for programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Lost => "lost",
            Self::Unknown => "unknown",
            Self::Vanished => "vanished",
        }
    }
}

/// Which hosts and devices are asked for; the default asks for all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wanted {
    /// Part of the host's name, its machine id or an agent's id; case does not matter.
    pub host: Option<String>,
    /// Part of the device's name; case does not matter.
    pub model: Option<String>,
    /// What must hold for their fields.
    pub filter: Filter,
}

/// A host as it is, or was last known.
#[derive(Debug, Clone)]
pub struct HostView {
    /// What is kept of it.
    pub host: Arc<Host>,
    /// When it was last heard of.
    pub last_seen: Timestamp,
    /// Its agents, the one that is believed first.
    pub agents: Vec<(AgentId, Arc<Agent>)>,
    /// Its newest fields; absent ones with their reason.
    pub facts: Record,
    /// How NVML is.
    pub nvml: Nvml,
    /// When its hardware was last read; `None`: its agent never sent an inventory.
    pub read_at: Option<Timestamp>,
    /// What its agents found odd.
    pub problems: Vec<String>,
    /// Its GPUs: in the order of its NVML, then those that are not in any document.
    pub devices: Vec<DeviceView>,
}

/// A GPU or MIG instance as it is, or was last known.
#[derive(Debug, Clone)]
pub struct DeviceView {
    /// What is kept of it.
    pub device: Arc<Device>,
    /// Its newest values; no instances. Of a device in no document: what was last known.
    pub gpu: Gpu,
    /// Whether it is there.
    pub state: State,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// When its live values were read; `None`: there are none.
    pub read_at: Option<Timestamp>,
    /// Names of other hosts that report the same UUID.
    pub also_on: Vec<String>,
    /// It is what was asked for, and not only the GPU of an instance that is.
    pub is_wanted: bool,
    /// MIG instances.
    pub instances: Vec<DeviceView>,
}

impl HostView {
    /// True while one of its agents is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.agents.iter().any(|(_, agent)| agent.session.is_some())
    }

    /// True when it has been away for so long that nobody waits for it.
    #[must_use]
    pub fn is_retired(&self, now: Timestamp) -> bool {
        !self.is_connected() && now.duration_since(self.last_seen) > MISSED_FOR
    }

    /// Its name.
    #[must_use]
    pub fn hostname(&self) -> String {
        self.host.hostname()
    }

    /// GPUs and MIG instances, each GPU before its instances.
    pub fn all_devices(&self) -> impl Iterator<Item = &DeviceView> {
        self.devices
            .iter()
            .flat_map(|device| std::iter::once(device).chain(&device.instances))
    }
}

impl DeviceView {
    /// What it is called, also while it does not answer.
    #[must_use]
    pub fn model(&self) -> String {
        let read = self.gpu.facts.get(catalogue::gpu::NAME);
        read.or_else(|| self.device.model())
            .unwrap_or_else(|| "unknown GPU".to_owned())
    }

    /// True when it has been gone for so long that nobody waits for it.
    #[must_use]
    pub fn is_retired(&self, now: Timestamp) -> bool {
        self.state == State::Vanished && now.duration_since(self.last_seen) > MISSED_FOR
    }

    /// True while its live values are worth showing: it answers, and was read just now.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.state == State::Present && self.is_read(now)
    }

    /// True when it was read just now, as far as anybody could.
    pub(super) fn is_read(&self, now: Timestamp) -> bool {
        self.read_at
            .is_some_and(|read_at| now.duration_since(read_at) <= LIVE_FOR)
    }
}

impl Fleet {
    /// The hosts that are asked for, by name.
    pub fn hosts<'a>(
        &'a self,
        now: Timestamp,
        wanted: &'a Wanted,
    ) -> impl Iterator<Item = HostView> + 'a {
        let mut order: Vec<(String, Arc<Host>)> = self
            .hosts
            .values()
            .chain(&self.strangers())
            .map(|host| (host.hostname(), Arc::clone(host)))
            .collect();
        order.sort_by(|(a, left), (b, right)| (a, &left.machine_id).cmp(&(b, &right.machine_id)));
        order
            .into_iter()
            .map(move |(_, host)| self.view(host, now))
            .filter_map(move |view| wanted.admit(view, now))
    }

    /// Hosts that are only known from the greeting of an agent that sends no inventory.
    fn strangers(&self) -> Vec<Arc<Host>> {
        let mut found: BTreeMap<&str, Arc<Host>> = BTreeMap::new();
        for agent in self.agents.values() {
            if let (Some(greeting), None) = (&agent.greeting, &agent.snapshot)
                && !self.hosts.contains_key(&greeting.machine_id)
            {
                found
                    .entry(&greeting.machine_id)
                    .or_insert_with(|| Arc::new(stranger(greeting, agent.heard)));
            }
        }
        found.into_values().collect()
    }

    fn view(&self, host: Arc<Host>, now: Timestamp) -> HostView {
        let mut agents: Vec<(AgentId, Arc<Agent>)> = self
            .staff(&host.machine_id)
            .map(|(id, agent)| (id, Arc::clone(agent)))
            .collect();
        agents.sort_by_key(|(_, agent)| {
            let read_at = agent.snapshot.as_ref().map(Snapshot::last_read);
            std::cmp::Reverse((agent.session.is_some(), read_at))
        });
        let documents: Vec<(Timestamp, Document)> = agents
            .iter()
            .filter_map(|(_, agent)| agent.snapshot.as_ref())
            .map(|snapshot| (snapshot.last_read(), snapshot.current()))
            .collect();
        let believed = documents.first();
        let mut view = HostView {
            last_seen: self.host_seen(&host, now),
            facts: believed.map_or_else(|| host.facts.clone(), |(_, it)| it.host.clone()),
            nvml: believed.map_or_else(|| host.nvml.clone(), |(_, it)| it.nvml.clone()),
            read_at: believed.map(|(read_at, _)| *read_at),
            problems: Vec::new(),
            devices: Vec::new(),
            agents,
            host,
        };
        let mut shown = BTreeSet::new();
        for (read_at, document) in documents {
            for problem in document.problems {
                if !view.problems.contains(&problem) {
                    view.problems.push(problem);
                }
            }
            for gpu in document.gpus {
                self.show(&mut view, &mut shown, gpu, read_at);
            }
        }
        self.show_absentees(&mut view, &mut shown);
        view
    }

    /// Adds a GPU of a document with its instances.
    fn show(
        &self,
        view: &mut HostView,
        shown: &mut BTreeSet<String>,
        mut gpu: Gpu,
        read_at: Timestamp,
    ) {
        let instances = std::mem::take(&mut gpu.instances);
        let Some(mut shown_gpu) = self.device(view, shown, gpu, read_at) else {
            return;
        };
        shown_gpu.instances = instances
            .into_iter()
            .filter_map(|instance| self.device(view, shown, instance, read_at))
            .collect();
        view.devices.push(shown_gpu);
    }

    fn device(
        &self,
        view: &HostView,
        shown: &mut BTreeSet<String>,
        mut gpu: Gpu,
        read_at: Timestamp,
    ) -> Option<DeviceView> {
        let device = self.devices.get(&gpu.uuid())?;
        let is_here = device.machine_id == view.host.machine_id;
        let is_claimed = device.duplicates.contains(&view.host.machine_id);
        // An old document of an agent that has gone may list what is not there any more.
        if is_here && device.presence == Presence::Vanished || !is_here && !is_claimed {
            return None;
        }
        if !shown.insert(device.uuid.clone()) {
            return None;
        }
        let can_be_asked = if is_here {
            self.is_watched(device)
        } else {
            view.is_connected() && view.nvml.state == NvmlState::Running
        };
        let is_lost = is_here && device.presence == Presence::Lost
            || gpu.ineligible.iter().any(|reason| reason.code == "lost");
        if is_lost {
            keep_what_lasts(&mut gpu.facts, &device.facts);
        }
        Some(DeviceView {
            state: match (is_lost, can_be_asked) {
                (true, _) => State::Lost,
                (false, true) => State::Present,
                (false, false) => State::Unknown,
            },
            last_seen: self.device_seen(device),
            read_at: Some(read_at),
            also_on: self.also_on(device, &view.host.machine_id),
            is_wanted: true,
            instances: Vec::new(),
            device: Arc::clone(device),
            gpu,
        })
    }

    fn also_on(&self, device: &Device, here: &str) -> Vec<String> {
        if device.duplicates.is_empty() {
            return Vec::new();
        }
        std::iter::once(&device.machine_id)
            .chain(&device.duplicates)
            .filter(|machine| *machine != here)
            .map(|machine| self.hostname(machine))
            .collect()
    }

    /// Adds the devices that the host had, or has by a report that is no more, as they were last known.
    fn show_absentees(&self, view: &mut HostView, shown: &mut BTreeSet<String>) {
        let missing = self
            .place(&view.host.machine_id)
            .filter(|device| device.machine_id == view.host.machine_id)
            .filter(|device| !shown.contains(&device.uuid));
        let mut instances = Vec::new();
        for device in missing {
            let absentee = DeviceView {
                state: match device.presence {
                    Presence::Vanished => State::Vanished,
                    Presence::Lost => State::Lost,
                    Presence::Present => State::Unknown,
                },
                last_seen: self.device_seen(device),
                read_at: None,
                also_on: self.also_on(device, &view.host.machine_id),
                is_wanted: true,
                instances: Vec::new(),
                gpu: Gpu::new(last_known(device)),
                device: Arc::clone(device),
            };
            if device.parent.is_some() {
                instances.push(absentee);
            } else {
                view.devices.push(absentee);
            }
        }
        for instance in instances {
            let parent = instance.device.parent.as_ref();
            let gpu = view
                .devices
                .iter_mut()
                .find(|gpu| Some(&gpu.device.uuid) == parent);
            match gpu {
                Some(gpu) => gpu.instances.push(instance),
                None => view.devices.push(instance),
            }
        }
    }
}

/// Of a device that does not answer: where and what it is, as it was last read. Its counters, and what is of the moment, stay absent.
fn keep_what_lasts(facts: &mut Record, known: &Record) {
    for (field, reading) in known.iter() {
        let lasts = matches!(field.class, Class::Fixed | Class::Setting | Class::Unstable);
        if lasts && reading.is_ok() && facts.reading(field) == Some(&Err(Absent::Lost)) {
            facts.set_value(field, reading.clone());
        }
    }
}

/// Of a device that no document has: what it was, without the numbers that NVML gives to the devices that it has, which others may bear now.
fn last_known(device: &Device) -> Record {
    let mut facts = device.facts.clone();
    if device.presence == Presence::Vanished {
        let is_number = |unit| unit == Unit::Count;
        facts.lose(
            |field| field.class == Class::Unstable && is_number(field.unit),
            Absent::Unknown,
        );
    }
    facts
}

/// What is known of the host of an agent that sends no inventory.
fn stranger(greeting: &Greeting, heard: Timestamp) -> Host {
    use catalogue::host;
    let mut facts = Record::new(Scope::Host);
    facts.set(host::HOSTNAME, Ok(greeting.hostname.clone()));
    facts.set(host::MACHINE_ID, Ok(greeting.machine_id.clone()));
    facts.set(host::AGENT_VERSION, Ok(greeting.agent_version.clone()));
    Host {
        machine_id: greeting.machine_id.clone(),
        facts,
        nvml: Nvml {
            state: NvmlState::Failed,
            message: Some("the agent sends no inventory; update it".to_owned()),
        },
        first_seen: heard,
        last_seen: heard,
    }
}

/// The fields of a device that a filter may ask for: what is of the moment only while it is worth showing.
fn worth_asking(view: &DeviceView, now: Timestamp) -> Cow<'_, Record> {
    if view.is_live(now) {
        Cow::Borrowed(&view.gpu.facts)
    } else {
        Cow::Owned(view.gpu.facts.only(|field| field.class != Class::Live))
    }
}

impl Wanted {
    /// The part of a host that is asked for; `None`: nothing of it.
    fn admit(&self, mut view: HostView, now: Timestamp) -> Option<HostView> {
        let contains = |text: &str, part: &str| text.to_lowercase().contains(&part.to_lowercase());
        if let Some(part) = &self.host {
            let is_meant = contains(&view.hostname(), part)
                || contains(&view.host.machine_id, part)
                || view
                    .agents
                    .iter()
                    .any(|(id, _)| contains(&id.to_string(), part));
            if !is_meant {
                return None;
            }
        }
        let facts = view.facts.clone();
        let is_meant = |model: &str| self.model.as_ref().is_none_or(|part| contains(model, part));
        view.devices.retain_mut(|gpu| {
            let of_model = is_meant(&gpu.model());
            let parent = worth_asking(gpu, now);
            let is_wanted = of_model && self.filter.matches(&[&parent, &facts]);
            let instances = gpu.instances.iter().map(|instance| {
                (of_model || is_meant(&instance.model()))
                    && self
                        .filter
                        .matches(&[&worth_asking(instance, now), &parent, &facts])
            });
            let mut wanted = instances.collect::<Vec<_>>().into_iter();
            gpu.is_wanted = is_wanted;
            gpu.instances.retain(|_| wanted.next().unwrap_or(false));
            gpu.is_wanted || !gpu.instances.is_empty()
        });
        let asks_about_devices = self.model.is_some() || self.filter.asks_about_devices();
        let is_wanted =
            !view.devices.is_empty() || !asks_about_devices && self.filter.matches(&[&facts]);
        is_wanted.then_some(view)
    }
}
