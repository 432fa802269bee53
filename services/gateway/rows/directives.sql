-- name: create
INSERT INTO makima.directive (id, owner_id, title, goal, repository_url, base_branch, agent, on_failure, max_parallel,
                              max_attempts, approve_plan, max_cost_usd, max_tokens, deadline, stop_now, merge_into_base,
                              check_command)
VALUES (%(id)s, %(owner)s, %(title)s, %(goal)s, %(repository)s, %(base)s, %(agent)s, %(on_failure)s, %(max_parallel)s,
        %(max_attempts)s, %(approve_plan)s, %(max_cost_usd)s, %(max_tokens)s, %(deadline)s, %(stop_now)s, %(merge_into_base)s,
        %(check)s);

-- name: lock
-- A directive of this owner, locked before anything of it is changed.
SELECT id, status, version, generation, repository_url, base_branch, agent, check_command AS check, merge_into_base,
       on_failure, approve_plan, max_parallel, max_attempts, max_cost_usd::float, max_tokens, deadline, stop_now, paused_for, awaited_plan
  FROM makima.directive WHERE id = %(id)s AND owner_id = %(owner)s FOR UPDATE;

-- name: own_directive
SELECT d.id FROM makima.directive d WHERE d.id = %(id)s AND d.owner_id = %(owner)s;

-- name: changes_since
-- What people changed of a directive after a version. Relies on event_by_directive.
SELECT e.at, ARRAY(SELECT jsonb_array_elements_text(e.body -> 'changed')) AS changed
  FROM makima.event e
 WHERE e.directive_id = %(id)s AND e.type = 'directive.changed' AND (e.body ->> 'version')::integer > %(version)s
 ORDER BY e.seq DESC LIMIT 5;

-- name: version
SELECT status, version FROM makima.directive WHERE id = %(id)s;

-- name: set_status
UPDATE makima.directive
   SET status = %(status)s::makima.directive_status, pause_reason = %(reason)s, version = version + 1,
       paused_for = CASE WHEN %(status)s = 'paused' THEN 'person'::makima.pause_cause END
 WHERE id = %(id)s
RETURNING version;

-- name: activate
-- Active again; or awaiting approval, while a plan waits for it.
UPDATE makima.directive
   SET status = CASE WHEN awaited_plan IS NULL THEN 'active' ELSE 'awaiting_approval'::makima.directive_status END, pause_reason = NULL,
       paused_for = NULL, version = version + 1
 WHERE id = %(id)s
RETURNING status, version;

-- name: list
-- The newest directives before one, newest first, with their steps counted by status (directive_by_owner, step_by_directive).
SELECT d.id, d.number, d.title, d.status, makima.standing(d) AS standing, d.pause_reason, d.repository_url, d.pr_branch, d.pr_url, d.created_at, d.version,
       coalesce((SELECT jsonb_object_agg(c.status, c.many)
                   FROM (SELECT s.status, count(*) AS many FROM makima.step s WHERE s.directive_id = d.id GROUP BY 1) c),
                '{}') AS steps,
       coalesce((SELECT sum(t.cost_usd) FROM makima.task t WHERE t.directive_id = d.id), 0)::float AS cost_usd
  FROM makima.directive d
 WHERE d.owner_id = %(owner)s AND (%(before)s::uuid IS NULL OR d.id < %(before)s)
   AND (%(status)s::text IS NULL OR d.status::text = %(status)s)
 ORDER BY d.id DESC LIMIT %(limit)s;

-- name: show
SELECT d.id, d.number, d.title, d.goal, d.status, makima.standing(d) AS standing, d.pause_reason, d.repository_url, d.base_branch,
       d.agent, d.on_failure,
       d.max_parallel, d.max_attempts, d.approve_plan, d.max_cost_usd::float AS max_cost_usd, d.max_tokens, d.deadline,
       d.stop_now, d.merge_into_base, d.paused_for, d.awaited_plan, makima.awaiting_approval(d) AS awaited, d.pr_branch, d.pr_url,
       d.delivery_outcome, d.generation, d.version, d.created_at, coalesce(sum(t.cost_usd), 0)::float AS cost_usd,
       coalesce(sum(t.tokens), 0)::bigint AS tokens
  FROM makima.directive d LEFT JOIN makima.task t ON t.directive_id = d.id
 WHERE d.id = %(id)s AND d.owner_id = %(owner)s GROUP BY d.id;

-- name: steps
-- Steps with their newest task: the live one, else the one that settled them. Relies on task_one_live_a_step.
SELECT s.id, s.number, s.name, s.status, s.description, s.task_plan, s.files, s.generation, s.order_index, s.branch, s.reason,
       s.agent, s.model, s.labels, s.outcome, s.files_changed, CASE WHEN s.held_by IS NOT NULL THEN 'added' WHEN s.removed_by IS NOT NULL THEN 'removed' END AS proposed,
       coalesce((SELECT array_agg(so.order_id) FROM makima.step_order so WHERE so.step_id = s.id), '{}') AS orders,
       t.id AS task_id, t.status AS task_status, coalesce(t.attempt, 0) AS attempts, t.daemon, t.waiting_reason,
       t.dispatched_at AS started_at, t.ended_at,
       coalesce((SELECT array_agg(e.depends_on ORDER BY e.position) FROM makima.step_dependency e WHERE e.step_id = s.id), '{}') AS depends_on
  FROM makima.step s
  LEFT JOIN makima.task t
    ON t.id = coalesce((SELECT l.id FROM makima.task l
                         WHERE l.step_id = s.id AND l.kind = 'step' AND l.status IN ({live_task})),
                       s.task_id)
 WHERE s.directive_id = %(id)s
 ORDER BY s.order_index, s.id;

-- name: stop_tasks
UPDATE makima.task SET cancel_asked = %(why)s, cancel_cause = 'stopped', version = version + 1
 WHERE directive_id = %(directive)s AND kind IN ({agent_kinds}) AND cancel_asked IS NULL
   AND status IN ({live_task})
RETURNING id, attempt, kind, status;

-- name: end_tasks
UPDATE makima.task SET cancel_asked = %(why)s, cancel_cause = 'archived', version = version + 1
 WHERE directive_id = %(directive)s AND cancel_asked IS NULL AND status IN ({live_task})
RETURNING id, attempt, kind, status;
