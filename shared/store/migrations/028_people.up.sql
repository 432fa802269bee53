-- People, what they may do in an owner, their tokens, and what an owner may use.

CREATE TYPE makima.role AS ENUM ('viewer', 'operator', 'admin');

CREATE TABLE makima.person (
    id         uuid PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    issuer     text,
    subject    text,
    created_at timestamptz NOT NULL DEFAULT makima.now(),
    UNIQUE (issuer, subject),
    CHECK ((issuer IS NULL) = (subject IS NULL))
);
COMMENT ON COLUMN makima.person.subject IS 'What the OpenID provider `issuer` calls them; NULL: nobody has signed in by that name.';

CREATE TABLE makima.member (
    owner_id  uuid NOT NULL REFERENCES makima.owner,
    person_id uuid NOT NULL REFERENCES makima.person,
    role      makima.role NOT NULL,
    added_at  timestamptz NOT NULL DEFAULT makima.now(),
    PRIMARY KEY (owner_id, person_id)
);
CREATE INDEX member_of ON makima.member (person_id);

CREATE TABLE makima.person_token (
    id           uuid PRIMARY KEY,
    owner_id     uuid NOT NULL,
    person_id    uuid NOT NULL,
    name         text NOT NULL,
    hash         text NOT NULL UNIQUE,
    role         makima.role NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT makima.now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    FOREIGN KEY (owner_id, person_id) REFERENCES makima.member ON DELETE CASCADE
);
COMMENT ON COLUMN makima.person_token.role IS 'The most that it may do: what it may is the lesser of this and its person''s role.';
CREATE INDEX person_token_by_member ON makima.person_token (owner_id, person_id);

ALTER TABLE makima.owner
    ADD COLUMN max_cost_usd_a_day numeric,
    ADD COLUMN max_daemons        integer;
