-- What the hot statements cost: a clock that is inlined, and an index less to keep for each task and each heartbeat.

-- Statement time, so that the planner can inline it; a connection still moves it by makima.now_offset.
CREATE OR REPLACE FUNCTION makima.now() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT statement_timestamp() + coalesce(nullif(current_setting('makima.now_offset', true), ''), '0')::interval
$$;

-- The tasks on daemons are few, and task_on_a_daemon holds them: leases need no index of their own, and without one
-- renewing a lease touches no index at all.
DROP INDEX makima.task_by_lease;
