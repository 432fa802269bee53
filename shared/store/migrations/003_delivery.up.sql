-- Delivery in full: what a delivery is asked and what came of it, its pull request and how that stands.

ALTER TABLE makima.directive
    ADD COLUMN pr_state        text CHECK (pr_state IN ('open', 'merged', 'closed')),
    ADD COLUMN pr_round        integer NOT NULL DEFAULT 1,
    ADD COLUMN pr_etag         text,
    ADD COLUMN pr_look_at      timestamptz,
    ADD COLUMN pr_looks        integer NOT NULL DEFAULT 0,
    ADD COLUMN verified        boolean NOT NULL DEFAULT false,
    ADD COLUMN merge_into_base boolean NOT NULL DEFAULT false,
    ADD COLUMN delivery_fixes  integer NOT NULL DEFAULT 0,
    ADD COLUMN left_out        uuid[] NOT NULL DEFAULT '{}';
ALTER TABLE makima.directive ADD COLUMN IF NOT EXISTS check_command text;
CREATE INDEX directive_watched ON makima.directive (pr_look_at) WHERE status = 'idle' AND pr_state = 'open';

ALTER TABLE makima.task
    ADD COLUMN delivery jsonb,
    ADD COLUMN result   jsonb,
    ADD COLUMN settled  boolean NOT NULL DEFAULT false;
CREATE INDEX task_unsettled_delivery ON makima.task (directive_id)
    WHERE kind IN ('completion', 'verification') AND status = 'completed' AND NOT settled;
CREATE INDEX task_delivery ON makima.task (directive_id, id) WHERE kind IN ('completion', 'verification');

-- A step's branch that is on the remote no longer: nothing starts from it any more.
ALTER TABLE makima.step ADD COLUMN branch_removed boolean NOT NULL DEFAULT false;

-- What was delivered before is settled, and what is idle was delivered or is still due.
UPDATE makima.task SET settled = true WHERE kind IN ('completion', 'verification') AND status = 'completed';
