-- What the broker can route to no daemon is asked again ever more rarely, and said again only for another reason.
ALTER TABLE makima.task ADD refused_attempt integer, ADD refused_since timestamptz;
COMMENT ON COLUMN makima.task.refused_attempt IS 'The attempt that no daemon could be found for; waiting_reason says why.';
COMMENT ON COLUMN makima.task.refused_since IS 'Since when, for that reason.';

CREATE INDEX task_refused ON makima.task (owner_id)
    WHERE status IN ('pending', 'starting') AND refused_attempt IS NOT NULL;
