-- Which host and which devices an enrolled agent reports for. Nobody else does as long as that agent is enrolled, not revoked and not removed, and its
-- certificate is good.

CREATE TABLE identity_claim (
    -- 'host': a machine id; 'device': a device's id.
    kind     TEXT NOT NULL CHECK (kind IN ('host', 'device')),
    name     TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX identity_claim_by_agent ON identity_claim (agent_id);

-- A person took it off the list, and it has not come back since.
ALTER TABLE identity_agent ADD COLUMN removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1));
