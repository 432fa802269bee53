DROP VIEW makima.open_delivery;
DROP VIEW makima.undelivered_step;
DROP VIEW makima.open_planning;
DROP VIEW makima.runnable;

CREATE FUNCTION makima.may_run(s makima.step) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT s.status = 'pending' AND s.held_by IS NULL AND s.removed_by IS NULL
       AND (SELECT true FROM makima.step_dependency e JOIN makima.step d ON d.id = e.depends_on
             WHERE e.step_id = s.id AND (d.status NOT IN ('completed', 'skipped') OR d.skipped_for IS NOT NULL)
             ORDER BY e.depends_on DESC LIMIT 1) IS NULL
       AND NOT EXISTS (SELECT FROM makima.step l
                        WHERE l.directive_id = s.directive_id AND l.order_index < s.order_index
                          AND l.status IN ('pending', 'ready', 'running', 'failed') AND l.held_by IS NULL
                          AND NOT (l.status = 'failed' AND EXISTS (
                              SELECT FROM makima.directive c WHERE c.id = l.directive_id AND c.on_failure = 'continue')))
$$;

CREATE FUNCTION makima.is_planning(d makima.directive) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM makima.plan_request r WHERE r.directive_id = d.id AND r.served_by IS NULL)
        OR EXISTS (SELECT FROM makima.task t
                    WHERE t.directive_id = d.id AND t.kind = 'plan'
                      AND t.status IN ('pending', 'starting', 'running', 'paused'))
$$;

CREATE FUNCTION makima.has_undelivered(d makima.directive) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM makima.step s
                    WHERE s.directive_id = d.id AND s.status = 'completed' AND NOT s.delivered
                      AND s.branch IS NOT NULL AND s.id <> ALL (d.left_out))
$$;

CREATE FUNCTION makima.is_delivering(d makima.directive) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM makima.task t
                    WHERE t.directive_id = d.id AND t.kind IN ('completion', 'verification')
                      AND t.status IN ('pending', 'starting', 'running', 'paused'))
        OR EXISTS (SELECT FROM makima.task t
                    WHERE t.directive_id = d.id AND t.kind NOT IN ('plan', 'step')
                      AND t.status = 'completed' AND NOT t.settled)
$$;
