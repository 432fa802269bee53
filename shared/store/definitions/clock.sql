-- Statement time, so that the planner can inline it; a connection still moves it by makima.now_offset.
CREATE OR REPLACE FUNCTION makima.now() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT statement_timestamp() + coalesce(nullif(current_setting('makima.now_offset', true), ''), '0')::interval
$$;
