-- What owners spend a day, and since when daemons are connected: which of them are within what their owner may have.

CREATE TABLE makima.owner_spending (
    owner_id uuid NOT NULL REFERENCES makima.owner,
    day      date NOT NULL,
    cost_usd numeric NOT NULL,
    PRIMARY KEY (owner_id, day)
);
COMMENT ON COLUMN makima.owner_spending.day IS 'In UTC.';

ALTER TABLE makima.daemon ADD COLUMN connected_at timestamptz NOT NULL DEFAULT makima.now();
