-- Who may speak to the coordinator off loopback. No secret is in here: of a token only the SHA-256 of its random part, of a certificate only its number.

CREATE TABLE identity_token (
    -- 16 hexadecimal digits, as in the token itself.
    id         TEXT PRIMARY KEY NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('join', 'operator', 'monitor')),
    -- Whose it is, for people.
    name       TEXT NOT NULL,
    -- SHA-256 of the secret.
    digest     BLOB NOT NULL CHECK (length(digest) = 32),
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    -- How many agents may join with it; 0: it is no join token, and used as often as wanted.
    uses       INTEGER NOT NULL,
    used       INTEGER NOT NULL,
    revoked    INTEGER NOT NULL CHECK (revoked IN (0, 1)),
    -- The agent to be enrolled again under its old id; NULL: a new one.
    agent_id   TEXT
) STRICT;

-- Every agent that was ever enrolled, with its newest certificate.
CREATE TABLE identity_agent (
    agent_id      TEXT PRIMARY KEY NOT NULL,
    -- As it called itself when it was enrolled.
    hostname      TEXT NOT NULL,
    -- The token it joined with.
    token_id      TEXT NOT NULL,
    enrolled_at   TEXT NOT NULL,
    -- Of the newest certificate, in hexadecimal digits.
    serial        TEXT NOT NULL,
    expires_at    TEXT NOT NULL,
    -- NULL: it is welcome.
    revoked_at    TEXT,
    -- Why, for its log; empty unless revoked.
    revoked_for   TEXT NOT NULL
) STRICT;
