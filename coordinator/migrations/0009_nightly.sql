-- Scheduled sweeps: schedules, their nights, what each series had in a night and what was said of it, what the judge remembers, alarms, what people
-- answered, and messages on their way. Nothing here refers to blocks: baselines and verdicts outlast them.
--
-- For example, the open alarms: sqlite3 -readonly coordinator.db "SELECT id, schedule, subject, kind, night FROM alarm WHERE resolved_at IS NULL".

CREATE TABLE schedule (
    name          TEXT PRIMARY KEY NOT NULL,
    -- For readers; the definition has them, too.
    cron          TEXT NOT NULL,
    time_zone     TEXT NOT NULL,
    -- protobuf batchstep.v1.Schedule.
    definition    BLOB NOT NULL,
    enabled       INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    created_at    TEXT NOT NULL,
    -- Runs up to here are over, under way, or were missed and said so.
    settled_until TEXT NOT NULL
) STRICT;

CREATE TABLE night (
    -- Not a reference: nights outlast their schedule.
    schedule    TEXT NOT NULL,
    -- Counts the nights of a schedule from 1.
    number      INTEGER NOT NULL CHECK (number >= 1),
    -- Where its schedule is, the day that it was planned for: 2026-11-26.
    date        TEXT NOT NULL,
    planned_at  TEXT NOT NULL,
    -- NULL: it did not happen.
    started_at  TEXT,
    finished_at TEXT,
    state       TEXT NOT NULL CHECK (state IN ('measuring', 'again', 'done', 'missed', 'abandoned')),
    -- What a person should know of it, may be empty.
    note        TEXT NOT NULL,
    -- JSON: where the night is, for going on after a restart.
    life        TEXT NOT NULL CHECK (json_valid(life)),
    -- JSON: how many series have which verdict, and what of its models was said.
    summary     TEXT NOT NULL CHECK (json_valid(summary)),
    PRIMARY KEY (schedule, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX night_under_way ON night (schedule) WHERE state IN ('measuring', 'again');

-- One series in one night.
CREATE TABLE night_series (
    schedule    TEXT NOT NULL,
    night       INTEGER NOT NULL,
    -- Device, workload, mode, dtype and threads in one text.
    series      TEXT NOT NULL,
    -- JSON: the same by parts, with host and model.
    about       TEXT NOT NULL CHECK (json_valid(about)),
    -- JSON: what was measured, or why not.
    observation TEXT NOT NULL CHECK (json_valid(observation)),
    -- JSON, an array, the gravest first.
    verdicts    TEXT NOT NULL CHECK (json_valid(verdicts)),
    PRIMARY KEY (schedule, night, series),
    FOREIGN KEY (schedule, night) REFERENCES night (schedule, number)
) STRICT, WITHOUT ROWID;

-- What the judge remembers: of each series and of each model as a whole, and by which batch sizes a model's series are judged.
CREATE TABLE nightly_book (
    schedule TEXT NOT NULL,
    kind     TEXT NOT NULL CHECK (kind IN ('series', 'model', 'sizes')),
    -- The series; of the others model and workload.
    key      TEXT NOT NULL,
    book     TEXT NOT NULL CHECK (json_valid(book)),
    PRIMARY KEY (schedule, kind, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE alarm (
    id                  INTEGER PRIMARY KEY NOT NULL,
    schedule            TEXT NOT NULL,
    -- What it is about: the key of a series, a model and workload, or a night.
    subject             TEXT NOT NULL,
    -- The verdict's word.
    kind                TEXT NOT NULL,
    -- The night in which it was raised.
    night               INTEGER NOT NULL,
    opened_at           TEXT NOT NULL,
    -- JSON: the verdict with its numbers, and what it is about by parts.
    detail              TEXT NOT NULL CHECK (json_valid(detail)),
    -- NULL: open.
    resolved_at         TEXT,
    -- How it ended; NULL while it is open.
    resolved_by         TEXT,
    acknowledged_at     TEXT,
    acknowledged_by     TEXT,
    acknowledged_reason TEXT,
    -- Whether it was right; NULL: nobody said.
    is_right            INTEGER CHECK (is_right IN (0, 1)),
    CHECK ((resolved_at IS NULL) = (resolved_by IS NULL))
) STRICT;

CREATE INDEX alarm_open ON alarm (schedule, subject) WHERE resolved_at IS NULL;

-- What people did; only ever added to.
CREATE TABLE nightly_action (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    at       TEXT NOT NULL,
    -- As they call themselves.
    user     TEXT NOT NULL,
    -- Whom the coordinator knows them as: 'local', or 'operator' by a token.
    caller   TEXT NOT NULL,
    action   TEXT NOT NULL,
    schedule TEXT NOT NULL,
    -- The alarm, where it is about one.
    alarm    INTEGER,
    reason   TEXT NOT NULL
) STRICT;

-- Messages: each goes through a channel once.
CREATE TABLE message (
    channel     TEXT NOT NULL,
    -- Says what it is about, so that nothing is told twice.
    dedup_key   TEXT NOT NULL,
    -- What becomes known together travels together; the rest of the row is the same for all of a digest.
    digest      TEXT NOT NULL,
    -- JSON, no secret in it.
    message     TEXT NOT NULL CHECK (json_valid(message)),
    state       TEXT NOT NULL CHECK (state IN ('queued', 'sent', 'given_up')),
    queued_at   TEXT NOT NULL,
    -- Deliveries that failed.
    tries       INTEGER NOT NULL,
    -- Of no meaning once it is not queued.
    next_try_at TEXT NOT NULL,
    -- Of the last try that failed; NULL: none did.
    last_error  TEXT,
    PRIMARY KEY (channel, dedup_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX message_by_digest ON message (channel, digest);
