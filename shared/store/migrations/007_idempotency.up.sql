-- Answers that were given to POST requests with an Idempotency-Key, written in the transaction of what they did, so that
-- a request asked again is answered as before, and done once. Kept for a day.
CREATE TABLE makima.idempotency_key (
    owner_id uuid NOT NULL REFERENCES makima.owner,
    key      text NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    request  text NOT NULL,
    answer   jsonb,
    at       timestamptz NOT NULL DEFAULT makima.now(),
    PRIMARY KEY (owner_id, key)
);
CREATE INDEX idempotency_key_by_age ON makima.idempotency_key (at);
