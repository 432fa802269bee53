-- What every event asks is found by a key, also in a new database, of whose sizes the planner knows nothing: there a
-- small partial index that is read whole looks as good as a look into it by a key, and plans are kept for long.

-- Directives of a status, without walking over all that are idle for a pull request. Replaces directive_open.
DROP INDEX makima.directive_open;
CREATE INDEX directive_by_status ON makima.directive (status, id);

-- What is unsettled is told by words that no other index has, so that it is never looked for among all deliveries.
DROP INDEX makima.task_unsettled_delivery;
CREATE INDEX task_unsettled_delivery ON makima.task (directive_id, id)
    WHERE kind NOT IN ('plan', 'step') AND status = 'completed' AND NOT settled;

-- As functions, these are asked of one directive at a time, each by its index; and each is written once.

-- Rule 3: planning is asked for or under way. Relies on plan_request_unserved and task_one_live_planning.
CREATE FUNCTION makima.is_planning(d makima.directive) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM makima.plan_request r WHERE r.directive_id = d.id AND r.served_by IS NULL)
        OR EXISTS (SELECT FROM makima.task t
                    WHERE t.directive_id = d.id AND t.kind = 'plan'
                      AND t.status IN ('pending', 'starting', 'running', 'paused'))
$$;

-- Rule 11: steps completed that are to be delivered, and are not. Relies on step_undelivered.
CREATE FUNCTION makima.has_undelivered(d makima.directive) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM makima.step s
                    WHERE s.directive_id = d.id AND s.status = 'completed' AND NOT s.delivered
                      AND s.branch IS NOT NULL AND s.id <> ALL (d.left_out))
$$;

-- A delivery or a look at a pull request is under way, or ended and nothing was drawn from it yet. Relies on
-- task_one_live_delivery and task_unsettled_delivery.
CREATE FUNCTION makima.is_delivering(d makima.directive) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM makima.task t
                    WHERE t.directive_id = d.id AND t.kind IN ('completion', 'verification')
                      AND t.status IN ('pending', 'starting', 'running', 'paused'))
        OR EXISTS (SELECT FROM makima.task t
                    WHERE t.directive_id = d.id AND t.kind NOT IN ('plan', 'step')
                      AND t.status = 'completed' AND NOT t.settled)
$$;

-- A task as it is sent to a daemon. A shell task gets its plan as it stands, and starts again from what it left behind.
CREATE VIEW makima.task_to_send AS
SELECT t.id, t.owner_id, t.directive_id, t.step_id, t.kind, t.name, t.prompt, t.agent, t.attempt, t.session, t.daemon,
       coalesce(t.kept_branch, t.start_from) AS start_from,
       CASE WHEN t.kept_branch IS NULL THEN t.merge_branches ELSE '{}' END AS merge_branches,
       t.target_branch, t.delivery, t.tokens, d.repository_url, d.base_branch,
       (SELECT a.daemon FROM makima.attempt a
         WHERE a.task_id = t.id AND a.session = t.session ORDER BY a.number DESC LIMIT 1) AS session_daemon,
       CASE WHEN t.agent <> 'shell' THEN NULL
            WHEN t.kind = 'plan' THEN d.goal
            ELSE coalesce((SELECT s.task_plan FROM makima.step s WHERE s.id = t.step_id), t.prompt) END AS task_plan,
       failed.reason AS failed_reason, failed.tail AS failed_tail
  FROM makima.task t
  JOIN makima.directive d ON d.id = t.directive_id
  LEFT JOIN LATERAL (
       SELECT a.reason, a.tail FROM makima.attempt a
        WHERE a.task_id = t.id AND a.outcome = 'failed' ORDER BY a.number DESC LIMIT 1) AS failed ON true;
