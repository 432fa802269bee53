-- Keys of daemons on other machines: invited, asked for, accepted, revoked.

CREATE TYPE makima.key_status AS ENUM ('invited', 'used', 'asking', 'accepted', 'revoked');

CREATE TABLE makima.daemon_key (
    public_key text PRIMARY KEY CHECK (length(public_key) = 40),
    owner_id   uuid NOT NULL REFERENCES makima.owner,
    name       text,
    status     makima.key_status NOT NULL,
    labels     text[] NOT NULL DEFAULT '{}',
    slots      integer,
    joined_by  text,
    created_at timestamptz NOT NULL DEFAULT makima.now(),
    expires_at timestamptz,
    changed_at timestamptz NOT NULL DEFAULT makima.now()
);
COMMENT ON COLUMN makima.daemon_key.name IS 'The daemon''s; NULL: an invitation that leaves it open.';
COMMENT ON COLUMN makima.daemon_key.joined_by IS 'The key of the invitation that it was accepted by.';
COMMENT ON COLUMN makima.daemon_key.expires_at IS 'Until when it may connect; NULL: as long as it is accepted.';
CREATE INDEX daemon_key_by_owner ON makima.daemon_key (owner_id, name);
CREATE UNIQUE INDEX daemon_key_one_a_name ON makima.daemon_key (owner_id, name)
    WHERE status = 'accepted' AND expires_at IS NULL;
