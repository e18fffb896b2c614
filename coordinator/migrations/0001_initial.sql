-- The coordinator's store. Made to be read by anybody: `sqlite3 -readonly coordinator.db 'SELECT * FROM measurement LIMIT 5'` works while the
-- coordinator runs (WAL).
--
-- Conventions: ids are UUIDs as text. Times of the coordinator's clock are RFC 3339 in UTC. Durations are integers in nanoseconds (`_ns`).
-- NULL means "not known", never zero. Columns in JSON hold what people look up; columns in protobuf hold what only the coordinator reads
-- back, as messages of package batchstep.v1, whose fields are never renumbered.

CREATE TABLE sweep (
    id           TEXT PRIMARY KEY NOT NULL,
    -- Of the submission; makes it idempotent.
    request_id   TEXT NOT NULL UNIQUE,
    -- protobuf batchstep.v1.SweepSpec.
    spec         BLOB NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('active', 'done', 'cancelled', 'failed')),
    -- Why it is over; empty while it is not.
    message      TEXT NOT NULL,
    submitted_at TEXT NOT NULL,
    finished_at  TEXT
) STRICT;

CREATE INDEX sweep_by_state ON sweep (state);

-- One device measuring one workload of a sweep.
CREATE TABLE series (
    id           TEXT PRIMARY KEY NOT NULL,
    sweep_id     TEXT NOT NULL REFERENCES sweep (id),
    -- Position among the sweep's series, from 0.
    ordinal      INTEGER NOT NULL,
    -- Canonical spec: `name:key=value,..`.
    workload     TEXT NOT NULL,
    mode         TEXT NOT NULL,
    dtype        TEXT NOT NULL,
    -- CPU threads; NULL on GPUs.
    threads      INTEGER,
    device_id    TEXT NOT NULL,
    device_model TEXT NOT NULL,
    device_kind  TEXT NOT NULL,
    hostname     TEXT NOT NULL,
    -- JSON: the device as its agent described it when the series was made.
    device       TEXT NOT NULL CHECK (json_valid(device)),
    -- 'waiting' until it is over; whether it runs follows from its attempts.
    state        TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed', 'cancelled')),
    message      TEXT NOT NULL,
    -- What it came to; NULL until it is over.
    rounds_done  INTEGER,
    blocks       INTEGER,
    measuring_ns INTEGER,
    UNIQUE (sweep_id, ordinal)
) STRICT;

CREATE TABLE round (
    id         TEXT PRIMARY KEY NOT NULL,
    series_id  TEXT NOT NULL REFERENCES series (id),
    -- Counts the rounds of a series from 0.
    idx        INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    -- protobuf batchstep.v1.Round, as it was assigned.
    assignment BLOB NOT NULL,
    -- 1 once it is over.
    ended      INTEGER NOT NULL CHECK (ended IN (0, 1)),
    UNIQUE (series_id, idx)
) STRICT;

-- One try at a round.
CREATE TABLE attempt (
    id       TEXT PRIMARY KEY NOT NULL,
    round_id TEXT NOT NULL REFERENCES round (id),
    number   INTEGER NOT NULL,
    agent_id TEXT NOT NULL,
    state    TEXT NOT NULL CHECK (state IN ('assigned', 'accepted', 'reported', 'declined', 'expired')),
    message  TEXT NOT NULL,
    UNIQUE (round_id, number)
) STRICT;

-- What may still run somewhere is looked up at every start.
CREATE INDEX attempt_out ON attempt (round_id) WHERE state IN ('assigned', 'accepted');

-- A part of an attempt's result, in order of arrival. Nothing that was reported is thrown away: only 'accepted' parts count, the others are
-- kept. No reference to `attempt`: a quarantined report is of an attempt that nobody knows.
CREATE TABLE report (
    seq          INTEGER PRIMARY KEY NOT NULL,
    attempt_id   TEXT NOT NULL,
    round_id     TEXT NOT NULL,
    agent_id     TEXT NOT NULL,
    -- SHA-256 over the encoded report: with the attempt the key that makes reporting idempotent.
    digest       BLOB NOT NULL CHECK (length(digest) = 32),
    disposition  TEXT NOT NULL CHECK (disposition IN ('accepted', 'quarantined', 'superseded')),
    part         INTEGER NOT NULL,
    -- 'finished', 'broken', 'stopped', 'timed_out' or 'refused' in the last part; NULL in the others.
    outcome      TEXT,
    message      TEXT NOT NULL,
    -- JSON: what the worker knows about its device and libraries.
    facts        TEXT CHECK (facts IS NULL OR json_valid(facts)),
    measuring_ns INTEGER NOT NULL,
    warm_up_ns   INTEGER NOT NULL,
    elapsed_ns   INTEGER NOT NULL,
    received_at  TEXT NOT NULL,
    UNIQUE (attempt_id, digest)
) STRICT;

CREATE INDEX report_by_round ON report (round_id, seq);

-- A timed block: `iterations` at one batch size between two device synchronisations.
CREATE TABLE block (
    report_seq          INTEGER NOT NULL REFERENCES report (seq),
    -- Position in its report, from 0: the order of measurement.
    position            INTEGER NOT NULL,
    -- Position of its visit in the round, from 0.
    visit               INTEGER NOT NULL,
    batch_size          INTEGER NOT NULL,
    role                TEXT NOT NULL,
    iterations          INTEGER NOT NULL,
    -- Wall time of the whole block.
    elapsed_ns          INTEGER NOT NULL,
    -- The same on the device's own clock.
    device_ns           INTEGER,
    -- From the round's start to the block's.
    started_after_ns    INTEGER NOT NULL,
    warm_up_iterations  INTEGER NOT NULL,
    warm_up_ns          INTEGER NOT NULL,
    -- Processor time that other processes used meanwhile, in cores.
    foreign_cores       REAL,
    peak_memory_bytes   INTEGER,
    temperature_celsius REAL,
    power_watts         REAL,
    sm_clock_mhz        REAL,
    -- NVML's clock event bits.
    throttle_reasons    INTEGER,
    foreign_processes   INTEGER,
    PRIMARY KEY (report_seq, position)
) STRICT, WITHOUT ROWID;

-- A visit that ended without a block.
CREATE TABLE visit_failure (
    report_seq INTEGER NOT NULL REFERENCES report (seq),
    position   INTEGER NOT NULL,
    visit      INTEGER NOT NULL,
    batch_size INTEGER NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('out_of_memory', 'memory_limit', 'time_limit', 'error')),
    message    TEXT NOT NULL,
    PRIMARY KEY (report_seq, position)
) STRICT, WITHOUT ROWID;

-- The journal. AUTOINCREMENT: a sequence number is never used twice, so that a watcher can go on where it stopped.
CREATE TABLE event (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    at       TEXT NOT NULL,
    sweep_id TEXT,
    -- Name of the event, for readers.
    kind     TEXT NOT NULL,
    -- protobuf batchstep.v1.Event.
    event    BLOB NOT NULL
) STRICT;

CREATE INDEX event_by_sweep ON event (sweep_id, seq);

-- The newest inventory of each agent.
CREATE TABLE inventory (
    agent_id    TEXT PRIMARY KEY NOT NULL,
    -- JSON.
    host        TEXT NOT NULL CHECK (json_valid(host)),
    -- JSON, an array.
    devices     TEXT NOT NULL CHECK (json_valid(devices)),
    -- The whole document as the agent sent it.
    document    BLOB NOT NULL,
    digest      BLOB NOT NULL,
    received_at TEXT NOT NULL
) STRICT;

-- For readers: every block that counts, with what it belongs to.
CREATE VIEW measurement AS
SELECT sweep.id AS sweep_id, series.id AS series_id, series.device_model, series.device_id, series.workload, series.mode, series.dtype,
       series.threads, round.idx AS round, round.kind AS round_kind, block.visit, block.batch_size, block.role, block.iterations,
       block.elapsed_ns / 1e9 / block.iterations AS seconds_per_iteration, block.device_ns / 1e9 / block.iterations AS device_seconds_per_iteration,
       block.foreign_cores, block.temperature_celsius, block.power_watts, block.sm_clock_mhz, block.throttle_reasons, report.attempt_id
FROM block
JOIN report ON report.seq = block.report_seq AND report.disposition = 'accepted'
JOIN round ON round.id = report.round_id
JOIN series ON series.id = round.series_id
JOIN sweep ON sweep.id = series.sweep_id
ORDER BY series.sweep_id, series.ordinal, round.idx, report.seq, block.position;
