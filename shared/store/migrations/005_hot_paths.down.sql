CREATE INDEX task_by_lease ON makima.task (lease_until) WHERE status IN ('starting', 'running', 'paused');

CREATE OR REPLACE FUNCTION makima.now() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT clock_timestamp() + coalesce(nullif(current_setting('makima.now_offset', true), ''), '0')::interval
$$;
