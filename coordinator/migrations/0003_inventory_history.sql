-- The inventory over time: which hosts and devices there are and were, where a device was when, and every change.
--
-- For example, the drivers of a card: sqlite3 -readonly coordinator.db "SELECT at, hostname, before, after FROM inventory_event
-- WHERE field = 'driver_version' ORDER BY seq". Fields are those of `batchstep inventory --fields`.

-- When the hardware was asked for what the document says; NULL: by an older coordinator.
ALTER TABLE inventory ADD COLUMN read_at TEXT;
-- The host it is of; NULL: by an older coordinator.
ALTER TABLE inventory ADD COLUMN machine_id TEXT;

CREATE TABLE inventory_host (
    machine_id TEXT PRIMARY KEY NOT NULL,
    hostname   TEXT NOT NULL,
    -- JSON: the newest of its fields that were ever read; why one is absent under `absent`.
    facts      TEXT NOT NULL CHECK (json_valid(facts)),
    -- JSON: how NVML was by the newest report.
    nvml       TEXT NOT NULL CHECK (json_valid(nvml)),
    first_seen TEXT NOT NULL,
    -- Brought up to date every ten minutes while the host is connected, and when the coordinator stops.
    last_seen  TEXT NOT NULL
) STRICT;

-- GPUs and MIG instances.
CREATE TABLE inventory_device (
    uuid        TEXT PRIMARY KEY NOT NULL,
    -- The GPU of a MIG instance; NULL for a GPU.
    parent_uuid TEXT,
    -- The host that has it, or had it last.
    machine_id  TEXT NOT NULL,
    -- JSON, an array of machine ids: further hosts that report the same UUID.
    duplicates  TEXT NOT NULL CHECK (json_valid(duplicates)),
    model       TEXT,
    -- By the newest report of its host.
    state       TEXT NOT NULL CHECK (state IN ('present', 'lost', 'vanished')),
    -- JSON: the newest of its lasting fields that were ever read.
    facts       TEXT NOT NULL CHECK (json_valid(facts)),
    first_seen  TEXT NOT NULL,
    -- As that of a host.
    last_seen   TEXT NOT NULL
) STRICT;

CREATE INDEX inventory_device_by_host ON inventory_device (machine_id);

-- Which host held a device when.
CREATE TABLE inventory_stay (
    uuid       TEXT NOT NULL REFERENCES inventory_device (uuid),
    since      TEXT NOT NULL,
    -- NULL: still.
    until      TEXT,
    machine_id TEXT NOT NULL,
    -- What the host was called when the stay began.
    hostname   TEXT NOT NULL,
    PRIMARY KEY (uuid, since)
) STRICT, WITHOUT ROWID;

-- What happened; only ever added to. AUTOINCREMENT: a sequence number is never used twice.
CREATE TABLE inventory_event (
    seq                 INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    at                  TEXT NOT NULL,
    -- The same in milliseconds since 1970, for comparing.
    at_ms               INTEGER NOT NULL,
    -- 'host_appeared', 'changed', 'appeared', 'vanished', 'returned', 'moved', 'duplicate', 'lost', 'nvml_failed', 'nvml_hung', 'nvml_no_driver',
    -- 'nvml_recovered'.
    kind                TEXT NOT NULL,
    machine_id          TEXT NOT NULL,
    -- What the host was called then.
    hostname            TEXT NOT NULL,
    -- NULL: the host itself.
    uuid                TEXT,
    model               TEXT,
    -- With 'changed': which one.
    field               TEXT,
    -- Values as text; flags are 'true' and 'false'. NULL with a reason beside it where the value was absent.
    before              TEXT,
    before_absent       TEXT,
    after               TEXT,
    after_absent        TEXT,
    -- Where a device that moved was, or one that is reported twice is as well.
    previous_machine_id TEXT,
    previous_hostname   TEXT
) STRICT;

CREATE INDEX inventory_event_by_time ON inventory_event (at_ms);
CREATE INDEX inventory_event_by_device ON inventory_event (uuid, seq);
