//! The inventory's tables: rows of hosts and devices in place of earlier ones, stays, and the history that is only ever added to.

use batchstep_core::inventory::{
    Change, Device, Host, Observation, Presence, Seen, Snapshot, Stay, Told, document_from,
};
use batchstep_proto::{
    causes::chain,
    ids::AgentId,
    inventory::{Absent, Kind, Record, Scope, Value, catalogue},
};
use jiff::Timestamp;
use serde_json::Map;
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    Sqlite,
    read::{corrupt, from_json, parsed, word},
    write::{WriteError, json},
};
use crate::store::{
    ChangesWanted, Inventory, InventoryStore, KnownInventory, StoreError, StoredChange,
};

type Tried<T> = Result<T, WriteError>;

impl InventoryStore for Sqlite {
    async fn save_inventory(
        &self,
        inventory: &Inventory,
        observation: &Observation,
    ) -> Result<(), StoreError> {
        let saved = async {
            let mut transaction = self.begin_write().await?;
            report(&mut transaction, inventory, observation).await?;
            if let Some(row) = &observation.host {
                host(&mut transaction, row).await?;
            }
            for row in &observation.devices {
                device(&mut transaction, row).await?;
            }
            for change in &observation.changes {
                event(&mut transaction, observation.at, change).await?;
            }
            transaction.commit().await?;
            Ok::<(), WriteError>(())
        };
        saved.await.map_err(|error| self.failed(error))
    }

    async fn inventory(&self, agent: AgentId) -> Result<Option<Inventory>, StoreError> {
        let row = sqlx::query("SELECT * FROM inventory WHERE agent_id = ?")
            .bind(agent.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(|error| self.failed(error))?;
        row.map(|row| reported(&row))
            .transpose()
            .map_err(|error| self.failed(error))
    }

    async fn known_inventory(&self) -> Result<KnownInventory, StoreError> {
        let mut view = self.snapshot().await?;
        known(&mut view).await.map_err(|error| self.failed(error))
    }

    async fn save_seen(&self, seen: &Seen) -> Result<(), StoreError> {
        let saved = async {
            let mut transaction = self.begin_write().await?;
            for (id, at) in &seen.hosts {
                sqlx::query("UPDATE inventory_host SET last_seen = ? WHERE machine_id = ?")
                    .bind(at.to_string())
                    .bind(id)
                    .execute(&mut *transaction)
                    .await?;
            }
            for (uuid, at) in &seen.devices {
                sqlx::query("UPDATE inventory_device SET last_seen = ? WHERE uuid = ?")
                    .bind(at.to_string())
                    .bind(uuid)
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            Ok::<(), WriteError>(())
        };
        saved.await.map_err(|error| self.failed(error))
    }

    async fn inventory_changes(
        &self,
        wanted: &ChangesWanted,
    ) -> Result<Vec<StoredChange>, StoreError> {
        let ms = |at: Option<Timestamp>, otherwise| at.map_or(otherwise, Timestamp::as_millisecond);
        let rows = sqlx::query(
            "SELECT * FROM inventory_event WHERE seq > ? AND at_ms >= ? AND at_ms < ? ORDER BY seq LIMIT ?",
        )
        .bind(i64::try_from(wanted.after_seq).unwrap_or(i64::MAX))
        .bind(ms(wanted.since, i64::MIN))
        .bind(ms(wanted.until, i64::MAX))
        .bind(wanted.limit)
        .fetch_all(&self.readers)
        .await
        .map_err(|error| self.failed(error))?;
        rows.iter()
            .map(stored_change)
            .collect::<Tried<_>>()
            .map_err(|error| self.failed(error))
    }

    async fn last_inventory_change(&self) -> Result<u64, StoreError> {
        let last: i64 = sqlx::query("SELECT COALESCE(MAX(seq), 0) FROM inventory_event")
            .fetch_one(&self.readers)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(|error| self.failed(error))?;
        Ok(last.cast_unsigned())
    }
}

async fn report(
    db: &mut SqliteConnection,
    inventory: &Inventory,
    observation: &Observation,
) -> Tried<()> {
    sqlx::query(
        "INSERT OR REPLACE INTO inventory (agent_id, host, devices, document, digest, received_at, read_at, machine_id) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(observation.agent.to_string())
    .bind(json("host", &inventory.host)?)
    .bind(json("devices", &inventory.devices)?)
    .bind(&inventory.document)
    .bind(&inventory.digest)
    .bind(observation.at.to_string())
    .bind(observation.snapshot.read_at.to_string())
    .bind(&observation.snapshot.machine_id)
    .execute(db)
    .await?;
    Ok(())
}

async fn host(db: &mut SqliteConnection, host: &Host) -> Tried<()> {
    sqlx::query(
        "INSERT OR REPLACE INTO inventory_host (machine_id, hostname, facts, nvml, first_seen, last_seen) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(&host.machine_id)
    .bind(host.hostname())
    .bind(json("host's facts", &host.facts.to_json())?)
    .bind(json("state of NVML", &host.nvml)?)
    .bind(host.first_seen.to_string())
    .bind(host.last_seen.to_string())
    .execute(db)
    .await?;
    Ok(())
}

async fn device(db: &mut SqliteConnection, device: &Device) -> Tried<()> {
    sqlx::query(
        "INSERT INTO inventory_device (uuid, parent_uuid, machine_id, duplicates, model, state, facts, first_seen, last_seen) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (uuid) DO UPDATE SET parent_uuid = excluded.parent_uuid, machine_id = excluded.machine_id, \
         duplicates = excluded.duplicates, model = excluded.model, state = excluded.state, facts = excluded.facts, \
         last_seen = excluded.last_seen",
    )
    .bind(&device.uuid)
    .bind(&device.parent)
    .bind(&device.machine_id)
    .bind(json("duplicates", &device.duplicates)?)
    .bind(device.model())
    .bind(device.presence.word())
    .bind(json("device's facts", &device.facts.to_json())?)
    .bind(device.first_seen.to_string())
    .bind(device.last_seen.to_string())
    .execute(&mut *db)
    .await?;
    // Earlier ones that are not remembered any more stay as they are.
    for stay in &device.stays {
        sqlx::query(
            "INSERT INTO inventory_stay (uuid, since, until, machine_id, hostname) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT (uuid, since) DO UPDATE SET until = excluded.until, machine_id = excluded.machine_id, hostname = excluded.hostname",
        )
        .bind(&device.uuid)
        .bind(stay.since.to_string())
        .bind(stay.until.map(|until| until.to_string()))
        .bind(&stay.machine_id)
        .bind(&stay.hostname)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

async fn event(db: &mut SqliteConnection, at: Timestamp, change: &Change) -> Tried<()> {
    let (before, before_absent) = told(change.before.as_ref());
    let (after, after_absent) = told(change.after.as_ref());
    let previous = change.previous_host.as_ref();
    sqlx::query(
        "INSERT INTO inventory_event (at, at_ms, kind, machine_id, hostname, uuid, model, field, before, before_absent, after, after_absent, \
         previous_machine_id, previous_hostname) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(at.to_string())
    .bind(at.as_millisecond())
    .bind(change.kind.word())
    .bind(&change.machine_id)
    .bind(&change.hostname)
    .bind(&change.uuid)
    .bind(&change.model)
    .bind(&change.field)
    .bind(before)
    .bind(before_absent)
    .bind(after)
    .bind(after_absent)
    .bind(previous.map(|(machine_id, _)| machine_id))
    .bind(previous.map(|(_, hostname)| hostname))
    .execute(db)
    .await?;
    Ok(())
}

/// A side of a change as its two columns.
fn told(side: Option<&Told>) -> (Option<String>, Option<&'static str>) {
    match side {
        None => (None, None),
        Some(Told::Value(Value::Flag(flag))) => (Some(flag.to_string()), None),
        Some(Told::Value(value)) => (Some(value.to_string()), None),
        Some(Told::Absent(reason)) => (None, Some(reason.word())),
    }
}

fn reported(row: &SqliteRow) -> Tried<Inventory> {
    Ok(Inventory {
        host: from_json("host", row.try_get("host")?)?,
        devices: from_json("devices", row.try_get("devices")?)?,
        document: row.try_get("document")?,
        digest: row.try_get("digest")?,
    })
}

async fn known(db: &mut SqliteConnection) -> Tried<KnownInventory> {
    let hosts = sqlx::query("SELECT * FROM inventory_host ORDER BY machine_id")
        .fetch_all(&mut *db)
        .await?;
    let devices = sqlx::query("SELECT * FROM inventory_device ORDER BY uuid")
        .fetch_all(&mut *db)
        .await?;
    let stays = sqlx::query("SELECT * FROM inventory_stay ORDER BY uuid, since")
        .fetch_all(&mut *db)
        .await?;
    let reports = sqlx::query("SELECT * FROM inventory ORDER BY agent_id")
        .fetch_all(&mut *db)
        .await?;
    let mut known = KnownInventory {
        hosts: hosts.iter().map(stored_host).collect::<Tried<_>>()?,
        devices: devices.iter().map(stored_device).collect::<Tried<_>>()?,
        snapshots: Vec::new(),
    };
    for row in &stays {
        let uuid: &str = row.try_get("uuid")?;
        let position = known
            .devices
            .binary_search_by(|device| device.uuid.as_str().cmp(uuid));
        if let Ok(position) = position {
            known.devices[position].stays.push(stay(row)?);
        }
    }
    for device in &mut known.devices {
        device.forget_old_stays();
    }
    for row in &reports {
        known.snapshots.extend(snapshot(row)?);
    }
    Ok(known)
}

fn stored_host(row: &SqliteRow) -> Tried<Host> {
    Ok(Host {
        machine_id: row.try_get("machine_id")?,
        facts: record(Scope::Host, row.try_get("facts")?)?,
        nvml: from_json("state of NVML", row.try_get("nvml")?)?,
        first_seen: parsed("time", row.try_get("first_seen")?)?,
        last_seen: parsed("time", row.try_get("last_seen")?)?,
    })
}

fn stored_device(row: &SqliteRow) -> Tried<Device> {
    Ok(Device {
        uuid: row.try_get("uuid")?,
        parent: row.try_get("parent_uuid")?,
        machine_id: row.try_get("machine_id")?,
        duplicates: from_json("duplicates", row.try_get("duplicates")?)?,
        facts: record(Scope::Gpu, row.try_get("facts")?)?,
        presence: word::<Presence>(row.try_get("state")?)?,
        first_seen: parsed("time", row.try_get("first_seen")?)?,
        last_seen: parsed("time", row.try_get("last_seen")?)?,
        stays: Vec::new(),
    })
}

fn stay(row: &SqliteRow) -> Tried<Stay> {
    let until: Option<&str> = row.try_get("until")?;
    Ok(Stay {
        machine_id: row.try_get("machine_id")?,
        hostname: row.try_get("hostname")?,
        since: parsed("time", row.try_get("since")?)?,
        until: until.map(|until| parsed("time", until)).transpose()?,
    })
}

/// What an agent reported; nothing where this version cannot read it any more: the agent will report again.
fn snapshot(row: &SqliteRow) -> Tried<Option<(AgentId, Snapshot)>> {
    let agent: AgentId = parsed("agent id", row.try_get("agent_id")?)?;
    let Inventory {
        host,
        devices,
        document,
        ..
    } = reported(row)?;
    let document = match document_from(&document, &host, &devices) {
        Ok(document) => document,
        Err(error) => {
            tracing::warn!(%agent, error = chain(&error), "A stored inventory cannot be read; its agent will send another one.");
            return Ok(None);
        }
    };
    let received_at: Timestamp = parsed("time", row.try_get("received_at")?)?;
    let read_at: Option<&str> = row.try_get("read_at")?;
    let stored: Option<String> = row.try_get("machine_id")?;
    // A row of an older coordinator has no host yet: its agent's next report makes one.
    let Some(machine_id) = stored else {
        return Ok(None);
    };
    Ok(Some((
        agent,
        Snapshot {
            machine_id,
            digest: document.digest(),
            document,
            received_at,
            read_at: read_at
                .map(|at| parsed("time", at))
                .transpose()?
                .unwrap_or(received_at),
            sample: None,
        },
    )))
}

fn record(scope: Scope, text: &str) -> Tried<Record> {
    let object: Map<String, serde_json::Value> = from_json("facts", text)?;
    Record::from_json(scope, &object)
        .map_err(|(field, error)| corrupt("facts", &format!("{field}: {error}")))
}

fn stored_change(row: &SqliteRow) -> Tried<StoredChange> {
    let seq: i64 = row.try_get("seq")?;
    let uuid: Option<String> = row.try_get("uuid")?;
    let field: Option<String> = row.try_get("field")?;
    let scope = uuid.as_ref().map_or(Scope::Host, |_| Scope::Gpu);
    let kind = field
        .as_ref()
        .and_then(|name| catalogue::find(scope, name))
        .map_or(Kind::Text, |field| field.kind);
    let previous: Option<String> = row.try_get("previous_machine_id")?;
    let previous_hostname: Option<String> = row.try_get("previous_hostname")?;
    Ok(StoredChange {
        seq: seq.cast_unsigned(),
        at: parsed("time", row.try_get("at")?)?,
        change: Change {
            kind: parsed("kind of change", row.try_get("kind")?)?,
            machine_id: row.try_get("machine_id")?,
            hostname: row.try_get("hostname")?,
            before: side(kind, row.try_get("before")?, row.try_get("before_absent")?)?,
            after: side(kind, row.try_get("after")?, row.try_get("after_absent")?)?,
            uuid,
            model: row.try_get("model")?,
            field,
            previous_host: previous.zip(previous_hostname),
        },
    })
}

/// A side of a change from its two columns.
fn side(kind: Kind, text: Option<String>, absent: Option<String>) -> Tried<Option<Told>> {
    if let Some(word) = absent {
        let reason = Absent::ALL.into_iter().find(|reason| reason.word() == word);
        let reason = reason.ok_or_else(|| corrupt("reason", &format!("unknown word {word:?}")))?;
        return Ok(Some(Told::Absent(reason)));
    }
    let Some(text) = text else { return Ok(None) };
    let typed = match kind {
        Kind::Text => None,
        Kind::Integer => text.parse().ok().map(Value::Integer),
        Kind::Number => text.parse().ok().map(Value::Number),
        Kind::Flag => text.parse().ok().map(Value::Flag),
    };
    // What an older or newer version wrote as another kind is told as it stands.
    Ok(Some(Told::Value(typed.unwrap_or(Value::Text(text)))))
}
