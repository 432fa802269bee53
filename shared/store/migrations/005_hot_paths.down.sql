CREATE OR REPLACE FUNCTION makima.may_run(s makima.step) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT s.status = 'pending' AND s.held_by IS NULL AND s.removed_by IS NULL
       AND NOT EXISTS (SELECT FROM makima.step_dependency e JOIN makima.step d ON d.id = e.depends_on
                        WHERE e.step_id = s.id
                          AND (d.status NOT IN ('completed', 'skipped') OR d.skipped_for IS NOT NULL))
       AND NOT EXISTS (SELECT FROM makima.step l
                        WHERE l.directive_id = s.directive_id AND l.order_index < s.order_index
                          AND l.status IN ('pending', 'ready', 'running', 'failed') AND l.held_by IS NULL
                          AND NOT (l.status = 'failed' AND EXISTS (
                              SELECT FROM makima.directive c WHERE c.id = l.directive_id AND c.on_failure = 'continue')))
$$;

CREATE INDEX task_by_lease ON makima.task (lease_until) WHERE status IN ('starting', 'running', 'paused');

CREATE OR REPLACE FUNCTION makima.now() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT clock_timestamp() + coalesce(nullif(current_setting('makima.now_offset', true), ''), '0')::interval
$$;
