-- name: change_goal
-- The goal replaced, the earlier one kept with when.
WITH earlier AS (
    INSERT INTO makima.goal_history (directive_id, goal) SELECT id, goal FROM makima.directive WHERE id = %(id)s
)
UPDATE makima.directive SET goal = %(goal)s, version = version + 1 WHERE id = %(id)s;

-- name: change_policies
UPDATE makima.directive
   SET agent = %(agent)s, base_branch = %(base_branch)s, check_command = %(check)s, merge_into_base = %(merge_into_base)s,
       on_failure = %(on_failure)s, approve_plan = %(approve_plan)s, max_parallel = %(max_parallel)s,
       max_attempts = %(max_attempts)s, max_cost_usd = %(max_cost_usd)s, max_tokens = %(max_tokens)s,
       deadline = %(deadline)s, stop_now = %(stop_now)s, version = version + 1
 WHERE id = %(id)s;

-- name: request_plan
INSERT INTO makima.plan_request (id, directive_id, reason, payload)
VALUES (%(id)s, %(directive)s, %(reason)s, %(payload)s::jsonb);

-- name: needs_plan
-- Whether a directive that starts needs a plan first: no steps, no request, no planning.
SELECT NOT EXISTS (SELECT FROM makima.step WHERE directive_id = d.id)
       AND (SELECT true FROM makima.open_planning p WHERE p.directive_id = d.id LIMIT 1) IS NULL AS needed
  FROM makima.directive d WHERE d.id = %(id)s;

-- name: awaited
-- The tasks whose steps and removals wait for approval.
SELECT makima.awaiting_approval(d) AS tasks FROM makima.directive d WHERE d.id = %(id)s;

-- name: supersede
-- Ask for the end of a live planning whose plan is wanted no more: the monitor puts its requests back.
UPDATE makima.task SET cancel_asked = %(why)s, cancel_cause = 'superseded', version = version + 1
 WHERE directive_id = %(directive)s AND kind = 'plan' AND status IN ({live_task})
   AND cancel_asked IS NULL
RETURNING id, attempt, kind, status;

-- name: hand_over_planning
-- A planning that waits is another agent's from now on, which begins it anew at once: none goes on with another's session.
-- Relies on task_one_live_planning.
UPDATE makima.task
   SET agent = %(agent)s, session = NULL, not_before = least(not_before, makima.now()), version = version + 1
 WHERE directive_id = %(directive)s AND kind = 'plan' AND status = 'pending' AND cancel_asked IS NULL
   AND agent <> %(agent)s
RETURNING id, attempt, kind, status;

-- name: enforce_plans
SELECT directive_id, steps, gone, orders FROM makima.enforce_plans(%(tasks)s::uuid[]);

-- name: withdraw_plans
-- A plan that waited for approval is withdrawn, and its requests are unserved again.
WITH back AS (
    UPDATE makima.plan_request SET served_by = NULL WHERE served_by = ANY (%(tasks)s)
)
SELECT directive_id, id FROM makima.withdraw_plans(%(tasks)s::uuid[]);
