//! The inventory for operators: streams of published JSON, one item for each host, model, finding or change. Made beside the I/O, from a view that nobody
//! waits for; a filter is read before the stream begins, so that a wrong one is an answer of its own.

use std::{collections::BTreeSet, sync::Arc};

use batchstep_core::inventory::{
    self as core, Filter, HostView, Wanted, change_json, finding_json, model_json,
};
use batchstep_proto::{
    domain::InvalidField,
    wire::{InventoryFilter, InventoryItem, ListInventoryChangesRequest, ListInventoryRequest},
};
use jiff::Timestamp;
use serde_json::Value as Json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{invalid, store_failed};
use crate::{
    inventory::Inventories,
    store::{ChangesWanted, Store, StoredChange},
};

/// Items that may wait in a stream.
const ITEMS: usize = 64;
/// Entries of the history that are read at a time.
const PAGE: u32 = 512;
/// Longest part of a name in a filter, and longest expression, bytes.
const FILTER_BYTES: usize = 4096;
/// Expressions in one request.
const EXPRESSIONS: usize = 64;

/// What the calls answer with.
pub(super) type Items = ReceiverStream<Result<InventoryItem, Status>>;

/// Every host that is asked for.
pub(super) fn hosts<S: Store>(
    inventories: &Arc<Inventories<S>>,
    request: ListInventoryRequest,
) -> Result<Items, Status> {
    let wanted = wanted(request.filter)?;
    Ok(made(inventories, move |fleet, now, out| {
        for view in fleet.hosts(now, &wanted) {
            if !out(view.to_json(now)) {
                return;
            }
        }
    }))
}

/// Every model among them; hosts that are away for good own nothing.
pub(super) fn models<S: Store>(
    inventories: &Arc<Inventories<S>>,
    request: ListInventoryRequest,
) -> Result<Items, Status> {
    let wanted = wanted(request.filter)?;
    Ok(made(inventories, move |fleet, now, out| {
        let hosts = fleet.hosts(now, &wanted);
        let hosts: Vec<HostView> = hosts.filter(|view| !view.is_retired(now)).collect();
        let models = core::models(&hosts);
        let _all = models.iter().all(|model| out(model_json(model)));
    }))
}

/// Everything that somebody should look at among them.
pub(super) fn findings<S: Store>(
    inventories: &Arc<Inventories<S>>,
    request: ListInventoryRequest,
) -> Result<Items, Status> {
    let wanted = wanted(request.filter)?;
    Ok(made(inventories, move |fleet, now, out| {
        let hosts: Vec<HostView> = fleet.hosts(now, &wanted).collect();
        let findings = core::findings(&hosts, now);
        let _all = findings.iter().all(|finding| out(finding_json(finding)));
    }))
}

/// What happened to them.
pub(super) fn changes<S: Store>(
    inventories: &Arc<Inventories<S>>,
    request: ListInventoryChangesRequest,
) -> Result<Items, Status> {
    let wanted = wanted(request.filter)?;
    let time = |field: &'static str, text: Option<String>| {
        text.map(|text| {
            text.parse::<Timestamp>()
                .map_err(|error| invalid(InvalidField::new(field, error.to_string())))
        })
        .transpose()
    };
    let mut page = ChangesWanted {
        after_seq: 0,
        since: time("since", request.since)?,
        until: time("until", request.until)?,
        limit: PAGE,
    };
    let (items, stream) = mpsc::channel(ITEMS);
    let inventories = Arc::clone(inventories);
    tokio::spawn(async move {
        let chosen = Chosen::new(&inventories.fleet(), wanted);
        loop {
            let entries = match inventories.store().inventory_changes(&page).await {
                Ok(entries) => entries,
                Err(error) => {
                    // Who does not listen any more needs no reason.
                    let _ = items.send(Err(store_failed(error))).await;
                    return;
                }
            };
            let Some(last) = entries.last() else { return };
            page.after_seq = last.seq;
            for entry in entries.iter().filter(|entry| chosen.admits(entry)) {
                let json = change_json(entry.seq, entry.at, &entry.change);
                if items.send(Ok(item(&json))).await.is_err() {
                    return;
                }
            }
        }
    });
    Ok(ReceiverStream::new(stream))
}

/// Which changes are asked for: by what hosts and devices were called then, and by what they are now.
struct Chosen {
    host: Option<String>,
    /// Machine ids of the hosts of the agents that the same text names.
    of_agents: BTreeSet<String>,
    model: Option<String>,
    /// Machine ids and UUIDs of those for which the expressions hold; `None`: there are no expressions.
    now: Option<(BTreeSet<String>, BTreeSet<String>)>,
}

impl Chosen {
    fn new(fleet: &core::Fleet, wanted: Wanted) -> Self {
        let Wanted {
            host,
            model,
            filter,
        } = wanted;
        let now = (filter != Filter::default()).then(|| {
            let asks_about_devices = filter.asks_about_devices();
            let by_filter = Wanted {
                filter,
                ..Wanted::default()
            };
            let (mut machines, mut uuids) = (BTreeSet::new(), BTreeSet::new());
            for view in fleet.hosts(Timestamp::now(), &by_filter) {
                let devices = view.all_devices().filter(|device| device.is_wanted);
                uuids.extend(devices.map(|device| device.device.uuid.clone()));
                if !asks_about_devices {
                    machines.insert(view.host.machine_id.clone());
                }
            }
            (machines, uuids)
        });
        let lower = |part: Option<String>| part.map(|part| part.to_lowercase());
        let host = lower(host);
        let everything = Wanted::default();
        let of_agents = host.iter().flat_map(|part| {
            let views = fleet.hosts(Timestamp::now(), &everything);
            views.filter_map(move |view| {
                let mut agents = view.agents.iter();
                let is_meant = agents.any(|(id, _)| id.to_string().contains(part.as_str()));
                is_meant.then(|| view.host.machine_id.clone())
            })
        });
        Self {
            of_agents: of_agents.collect(),
            host,
            model: lower(model),
            now,
        }
    }

    fn admits(&self, entry: &StoredChange) -> bool {
        let change = &entry.change;
        // A card that moved is news of both hosts.
        let here = (&change.machine_id, &change.hostname);
        let previous = change.previous_host.as_ref();
        let of_host = self.host.as_ref().is_none_or(|part| {
            let mut hosts = std::iter::once(here).chain(previous.map(|(id, name)| (id, name)));
            hosts.any(|(machine_id, hostname)| {
                hostname.to_lowercase().contains(part)
                    || machine_id.to_lowercase().contains(part)
                    || self.of_agents.contains(machine_id)
            })
        });
        let of_model = self.model.as_ref().is_none_or(|part| {
            let model = change.model.as_ref();
            model.is_some_and(|model| model.to_lowercase().contains(part))
        });
        let of_now = self.now.as_ref().is_none_or(|(machines, uuids)| {
            let of_device = change.uuid.as_ref().map(|uuid| uuids.contains(uuid));
            of_device.unwrap_or_else(|| machines.contains(&change.machine_id))
        });
        of_host && of_model && of_now
    }
}

/// What is asked for.
fn wanted(filter: Option<InventoryFilter>) -> Result<Wanted, Status> {
    let InventoryFilter {
        host,
        model,
        r#where: expressions,
    } = filter.unwrap_or_default();
    let short = |field: &'static str, text: &str| {
        if text.len() > FILTER_BYTES {
            let problem = format!("{} bytes, more than the {FILTER_BYTES} allowed", text.len());
            return Err(invalid(InvalidField::new(field, problem)));
        }
        Ok(())
    };
    for (field, text) in [("filter.host", &host), ("filter.model", &model)] {
        text.iter().try_for_each(|text| short(field, text))?;
    }
    if expressions.len() > EXPRESSIONS {
        let problem = format!("more than {EXPRESSIONS} expressions");
        return Err(invalid(InvalidField::new("filter.where", problem)));
    }
    let mut filter = Filter::default();
    for expression in &expressions {
        short("filter.where", expression)?;
        let further = Filter::parse(expression)
            .map_err(|error| invalid(InvalidField::new("filter.where", error.to_string())))?;
        filter = filter.and(further);
    }
    Ok(Wanted {
        host,
        model,
        filter,
    })
}

/// A stream of what `make` hands out; handing out answers false once nobody listens.
fn made<S: Store>(
    inventories: &Arc<Inventories<S>>,
    make: impl FnOnce(&core::Fleet, Timestamp, &mut dyn FnMut(Json) -> bool) + Send + 'static,
) -> Items {
    let (items, stream) = mpsc::channel(ITEMS);
    let fleet = inventories.fleet();
    tokio::task::spawn_blocking(move || {
        make(&fleet, Timestamp::now(), &mut |json| {
            items.blocking_send(Ok(item(&json))).is_ok()
        });
    });
    ReceiverStream::new(stream)
}

fn item(json: &Json) -> InventoryItem {
    InventoryItem {
        json: json.to_string().into_bytes(),
    }
}
