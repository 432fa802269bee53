-- What agents cost and leave behind: usage an attempt, the branch on which a failed attempt's work was kept, what a
-- person tells a running task, and daemons that a person wants empty.

ALTER TABLE makima.attempt
    ADD COLUMN cost_usd numeric NOT NULL DEFAULT 0,
    ADD COLUMN tokens   bigint  NOT NULL DEFAULT 0;

ALTER TABLE makima.task
    ADD COLUMN kept_branch text;

CREATE TABLE makima.task_message (
    id           uuid PRIMARY KEY,
    task_id      uuid NOT NULL REFERENCES makima.task,
    text         text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT makima.now(),
    delivered_at timestamptz,
    delivered_as text CHECK (delivered_as IN ('while it ran', 'at its next turn'))
);
CREATE INDEX task_message_undelivered ON makima.task_message (task_id) WHERE delivered_at IS NULL;

ALTER TABLE makima.daemon
    ADD COLUMN drain_asked boolean NOT NULL DEFAULT false,
    ADD COLUMN drains      boolean NOT NULL DEFAULT false,
    ADD COLUMN refuses     text;
