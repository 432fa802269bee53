-- The stage of a delivery that its daemon said last, as [merging ...], [checking ...] or [delivering ...].
CREATE OR REPLACE FUNCTION makima.stage(task uuid, attempt integer) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT (regexp_match(line.said, '^\[(merging|checking|delivering)\M'))[1]
      FROM makima.task_output o, jsonb_array_elements_text(o.events) WITH ORDINALITY AS line (said, place)
     WHERE o.task_id = $1 AND o.attempt = $2 AND line.said ~ '^\[(merging|checking|delivering)\M'
     ORDER BY o.first_seq DESC, line.place DESC LIMIT 1
$$;

-- Where a directive stands, as people are told: the only place that decides it (shared.domain.statuses.Standing).
-- Waiting: something is due, and no daemon takes it or its owner may spend no more today, or an answer or a time is waited for. Relies on task_by_directive,
-- plan_request_unserved.
CREATE OR REPLACE FUNCTION makima.standing(d makima.directive) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    live record;
BEGIN
    IF d.status = 'completed' THEN
        RETURN CASE WHEN d.pr_state = 'merged' THEN 'merged' WHEN d.delivered_heads <> '{}' THEN 'delivered' ELSE 'completed' END;
    ELSIF d.status NOT IN ('active', 'idle') THEN
        RETURN replace(d.status::text, '_', ' ');
    END IF;
    SELECT count(*) AS tasks,
           bool_or(t.status IN ({on_a_daemon}) AND t.status <> 'paused' AND t.refused_attempt IS DISTINCT FROM t.attempt) AS runs,
           bool_or(t.kind = 'plan') AS planning, bool_or(t.kind = 'step' AND t.status IN ({on_a_daemon}) AND t.status <> 'paused') AS steps_run,
           bool_and(t.status = 'paused' OR t.refused_attempt IS NOT DISTINCT FROM t.attempt OR t.not_before > makima.now()) AS held,
           max(CASE WHEN t.kind = 'completion' THEN coalesce(makima.stage(t.id, t.attempt), 'merging') END) AS stage
      INTO live FROM makima.task t WHERE t.directive_id = d.id AND t.status IN ({live_task});
    IF d.status = 'idle' AND live.stage IS NULL
       AND NOT EXISTS (SELECT FROM makima.step s WHERE s.directive_id = d.id AND s.status = 'completed' AND NOT s.delivered) THEN
        RETURN CASE WHEN d.pr_state = 'merged' THEN 'merged' WHEN d.pr_url IS NOT NULL THEN 'pull request open' ELSE 'delivered' END;
    ELSIF live.held OR live.runs IS NOT TRUE AND (
          NOT EXISTS (SELECT FROM makima.able_daemon w WHERE w.owner_id = d.owner_id)
          OR EXISTS (SELECT FROM makima.spent_owner s WHERE s.owner_id = d.owner_id)) THEN
        RETURN 'waiting';
    ELSIF d.status = 'idle' THEN
        RETURN coalesce(live.stage, 'merging');
    ELSIF live.steps_run THEN
        RETURN 'running';
    ELSIF live.planning OR EXISTS (SELECT FROM makima.plan_request r WHERE r.directive_id = d.id AND r.served_by IS NULL) THEN
        RETURN 'planning';
    END IF;
    RETURN 'running';
END
$$;
