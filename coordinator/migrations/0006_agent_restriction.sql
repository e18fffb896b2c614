-- Agents that get no work: a person drains them, or they failed at everything. No row: no restriction.
CREATE TABLE agent_restriction (
    agent_id      TEXT PRIMARY KEY NOT NULL,
    -- What its host was called then.
    hostname      TEXT NOT NULL,
    -- Why a person drains it, may be empty; NULL: nobody does.
    drain_reason  TEXT,
    -- How it failed; NULL: it did not.
    cordon_reason TEXT,
    since         TEXT NOT NULL,
    CHECK (drain_reason IS NOT NULL OR cordon_reason IS NOT NULL)
) STRICT;
