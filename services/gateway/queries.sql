-- name: release_token
-- A token speaks for one owner: the one that this home is set to now.
UPDATE makima.owner SET token_hash = NULL WHERE token_hash = %(hash)s AND name <> %(name)s;

-- name: ensure_owner
INSERT INTO makima.owner (id, name, token_hash) VALUES (%(id)s, %(name)s, %(hash)s)
    ON CONFLICT (name) DO UPDATE SET token_hash = excluded.token_hash;

-- name: person
-- Relies on owner's unique token_hash.
SELECT id FROM makima.owner WHERE token_hash = %(hash)s;

-- name: task_caller
-- A task's token counts while that attempt is live.
SELECT id, owner_id, directive_id, kind FROM makima.task
 WHERE id = %(task)s AND attempt = %(attempt)s AND status IN ('starting', 'running', 'paused');

-- name: alive
SELECT 1 AS alive;

-- name: create_directive
INSERT INTO makima.directive (id, owner_id, title, goal, repository_url, base_branch, agent, on_failure, approve_plan,
                              max_parallel, max_attempts, max_cost_usd)
VALUES (%(id)s, %(owner)s, %(title)s, %(goal)s, %(repository_url)s, %(base_branch)s, %(agent)s, %(on_failure)s,
        %(approve_plan)s, %(max_parallel)s, %(max_attempts)s, %(max_cost_usd)s);

-- name: lock_directive
-- First in every unit of work that writes to a directive, so that they take turns. Not FOR UPDATE: rows that refer to
-- the directive may still be inserted by others.
SELECT * FROM makima.directive WHERE id = %(directive)s AND owner_id = %(owner)s FOR NO KEY UPDATE;

-- name: set_status
UPDATE makima.directive
   SET status = %(status)s, pause_reason = %(reason)s, version = version + 1,
       delivered_at = CASE WHEN %(status)s = 'completed' THEN coalesce(delivered_at, makima.now()) ELSE delivered_at END
 WHERE id = %(directive)s;

-- name: set_pr_url
UPDATE makima.directive SET pr_url = %(pr_url)s, version = version + 1 WHERE id = %(directive)s;

-- name: replace_goal
WITH kept AS (
    INSERT INTO makima.goal_history (directive_id, goal) SELECT id, goal FROM makima.directive WHERE id = %(directive)s
)
UPDATE makima.directive SET goal = %(goal)s, version = version + 1 WHERE id = %(directive)s;

-- name: planning
-- Whether a directive has steps, a live planning, or a plan request that waits for one.
-- Relies on step_by_directive, task_one_live_planning, plan_request_unserved.
SELECT EXISTS (SELECT FROM makima.step WHERE directive_id = %(directive)s) AS steps,
       EXISTS (SELECT FROM makima.task
                WHERE directive_id = %(directive)s AND kind = 'plan'
                  AND status IN ('pending', 'starting', 'running', 'paused')) AS live,
       EXISTS (SELECT FROM makima.plan_request WHERE directive_id = %(directive)s AND served_by IS NULL) AS requested;

-- name: request_plan
INSERT INTO makima.plan_request (id, directive_id, reason, payload)
VALUES (%(id)s, %(directive)s, %(reason)s, %(payload)s::jsonb);

-- name: existing_steps
-- Relies on step_by_directive.
SELECT id, name FROM makima.step WHERE directive_id = %(directive)s AND removed_by IS NULL;

-- name: insert_steps
-- A batch of steps, in the order given.
INSERT INTO makima.step (id, directive_id, name, description, task_plan, files, order_index, generation, held_by)
SELECT u.id, %(directive)s, u.name, u.description, u.task_plan, ARRAY(SELECT jsonb_array_elements_text(u.files)),
       u.order_index, u.generation, %(held_by)s
  FROM unnest(%(ids)s::uuid[], %(names)s::text[], %(descriptions)s::text[], %(plans)s::text[], %(files)s::jsonb[],
              %(orders)s::integer[], %(generations)s::integer[])
       AS u (id, name, description, task_plan, files, order_index, generation);

-- name: insert_dependencies
INSERT INTO makima.step_dependency (step_id, depends_on, position)
SELECT * FROM unnest(%(steps)s::uuid[], %(depends_on)s::uuid[], %(positions)s::integer[]);

-- name: make_ready
-- The pending steps of an active directive that may run now (rule 1 stands in makima.may_run).
UPDATE makima.step s SET status = 'ready', version = s.version + 1
  FROM makima.directive d
 WHERE d.id = %(directive)s AND d.status = 'active' AND s.directive_id = d.id AND s.status = 'pending'
   AND makima.may_run(s)
RETURNING s.id;

-- name: find_step
-- Which directive a step belongs to.
SELECT s.directive_id FROM makima.step s JOIN makima.directive d ON d.id = s.directive_id
 WHERE s.id = %(step)s AND d.owner_id = %(owner)s;

-- name: lock_step
-- Relies on task_one_live_a_step.
SELECT s.id, s.name, s.status, s.held_by, s.removed_by, s.version,
       (SELECT t.id FROM makima.task t
         WHERE t.step_id = s.id AND t.kind = 'step' AND t.status IN ('pending', 'starting', 'running', 'paused')) AS live_task
  FROM makima.step s WHERE s.id = %(step)s FOR UPDATE OF s;

-- name: delete_step
DELETE FROM makima.step WHERE id = %(step)s;

-- name: hold_removed
-- Removed by a planning: held at once, gone when the plan comes into force (rule 5).
UPDATE makima.step SET removed_by = %(task)s, version = version + 1,
                       status = CASE WHEN status = 'ready' THEN 'pending' ELSE status END
 WHERE id = %(step)s;

-- name: set_step_status
UPDATE makima.step SET status = %(status)s, reason = %(reason)s, version = version + 1 WHERE id = %(step)s;

-- name: directives
-- Newest first. Relies on directive_by_owner, step_by_directive.
SELECT d.id, d.title, d.status, d.pause_reason, d.pr_branch, d.pr_url, d.repository_url, d.created_at,
       coalesce(s.steps, 0)::integer AS steps, coalesce(s.completed, 0)::integer AS completed,
       coalesce(s.failed, 0)::integer AS failed
  FROM makima.directive d
  LEFT JOIN LATERAL (
       SELECT count(*) AS steps, count(*) FILTER (WHERE status = 'completed') AS completed,
              count(*) FILTER (WHERE status = 'failed') AS failed
         FROM makima.step WHERE directive_id = d.id AND removed_by IS NULL) AS s ON true
 WHERE d.owner_id = %(owner)s AND (%(status)s::text IS NULL OR d.status = %(status)s)
 ORDER BY d.id DESC
 LIMIT %(limit)s;

-- name: directive
-- Relies on the primary key, task_by_directive, event_by_directive.
SELECT d.id, d.title, d.goal, d.status, d.pause_reason, d.pr_branch, d.pr_url, d.generation, d.version,
       t.cost_usd::float8 AS cost_usd, t.tokens::bigint AS tokens,
       coalesce((SELECT max(e.seq) FROM makima.event e WHERE e.directive_id = d.id), 0) AS seq,
       d.status = 'completed' OR d.status = 'idle'
           AND NOT EXISTS (SELECT FROM makima.step s WHERE s.directive_id = d.id AND s.status = 'completed' AND NOT s.delivered)
           AND t.live = 0 AS delivered,
       (SELECT p.id::text FROM makima.task p WHERE p.directive_id = d.id AND p.kind = 'plan'
           AND p.status IN ('pending', 'starting', 'running', 'paused')) AS planning
  FROM makima.directive d
 CROSS JOIN LATERAL (
       SELECT coalesce(sum(cost_usd), 0) AS cost_usd, coalesce(sum(tokens), 0) AS tokens,
              count(*) FILTER (WHERE status IN ('pending', 'starting', 'running', 'paused')) AS live
         FROM makima.task WHERE directive_id = d.id) AS t
 WHERE d.id = %(directive)s AND d.owner_id = %(owner)s;

-- name: steps
-- A directive's steps, or (with `ids`) some of them. Relies on step_by_directive, step_dependency's key, task_by_directive.
WITH latest AS (
    SELECT DISTINCT ON (step_id) step_id, id, attempt FROM makima.task
     WHERE directive_id = %(directive)s AND kind = 'step' ORDER BY step_id, id DESC
)
SELECT s.id, s.name, s.status, s.generation, s.order_index, s.branch, s.reason,
       coalesce(s.task_id, latest.id) AS task_id, coalesce(latest.attempt, 0) AS attempts,
       ARRAY(SELECT e.depends_on FROM makima.step_dependency e WHERE e.step_id = s.id ORDER BY e.position) AS depends_on
  FROM makima.step s
  LEFT JOIN latest ON latest.step_id = s.id
 WHERE s.directive_id = %(directive)s AND (%(ids)s::uuid[] IS NULL OR s.id = ANY (%(ids)s))
 ORDER BY s.order_index, s.id;

-- name: progress
-- The live side of a directive's steps. Relies on step_by_directive, task_by_directive, task_output's key.
WITH latest AS (
    SELECT DISTINCT ON (step_id) step_id, id, attempt, status, dispatched_at, created_at, ended_at FROM makima.task
     WHERE directive_id = %(directive)s AND kind = 'step' ORDER BY step_id, id DESC
)
SELECT s.id, s.name, s.status, s.reason, latest.id AS task_id,
       extract(epoch FROM coalesce(latest.ended_at, makima.now()) - coalesce(latest.dispatched_at, latest.created_at))::float8
           AS seconds,
       CASE WHEN latest.status IN ('starting', 'running', 'paused') THEN (
           SELECT o.events ->> -1 FROM makima.task_output o
            WHERE o.task_id = latest.id AND o.attempt = latest.attempt ORDER BY o.first_seq DESC LIMIT 1) END AS last_line
  FROM makima.step s
  LEFT JOIN latest ON latest.step_id = s.id
 WHERE s.directive_id = %(directive)s AND s.removed_by IS NULL
 ORDER BY s.order_index, s.id;

-- name: cancel_live_tasks
-- A wish: the executor passes it on, the monitor cancels what never ran. `kind` None = of every kind.
-- Relies on task_by_directive.
UPDATE makima.task SET cancel_asked = %(reason)s, version = version + 1
 WHERE directive_id = %(directive)s AND status IN ('pending', 'starting', 'running', 'paused') AND cancel_asked IS NULL
   AND (%(kind)s::text IS NULL OR kind = %(kind)s)
RETURNING id, attempt, kind, status;

-- name: cancel_task
UPDATE makima.task SET cancel_asked = %(reason)s, version = version + 1 WHERE id = %(task)s;

-- name: tasks
-- Newest first. Relies on task_by_directive where a directive is named, else on the primary key.
SELECT t.*, t.cost_usd::float8 AS cost_usd FROM makima.task t
 WHERE t.owner_id = %(owner)s AND (%(directive)s::uuid IS NULL OR t.directive_id = %(directive)s)
   AND (%(status)s::text IS NULL OR t.status = %(status)s)
 ORDER BY t.id DESC LIMIT %(limit)s;

-- name: task
SELECT t.*, t.cost_usd::float8 AS cost_usd FROM makima.task t WHERE t.id = %(task)s AND t.owner_id = %(owner)s;

-- name: attempts
SELECT * FROM makima.attempt WHERE task_id = %(task)s ORDER BY number;

-- name: output
-- What a task printed after a cursor. Relies on task_output's key.
SELECT attempt, first_seq AS first, events AS lines FROM makima.task_output
 WHERE task_id = %(task)s AND (attempt, last_seq) >= (%(attempt)s::integer, %(after)s::integer)
 ORDER BY attempt, first_seq LIMIT 500;

-- name: daemons
SELECT w.name, w.labels, w.agents, w.capacity, w.connected, w.draining, w.last_seen,
       (SELECT count(*) FROM makima.task t
         WHERE t.owner_id = w.owner_id AND t.daemon = w.name AND t.status IN ('starting', 'running', 'paused'))::integer AS running
  FROM makima.daemon w WHERE w.owner_id = %(owner)s ORDER BY w.name;

-- name: events
-- Relies on event_by_directive, or on the primary key.
SELECT e.seq, e.type, e.directive_id, e.body, e.at
  FROM makima.event e JOIN makima.directive d ON d.id = e.directive_id AND d.owner_id = %(owner)s
 WHERE e.seq > %(after)s AND (%(directive)s::uuid IS NULL OR e.directive_id = %(directive)s)
 ORDER BY e.seq LIMIT 1000;

-- name: last_event
SELECT coalesce(max(seq), 0) AS seq FROM makima.event;

-- name: why_what
-- What an id stands for.
SELECT 'directive' AS kind, d.id AS directive_id FROM makima.directive d WHERE d.id = %(id)s AND d.owner_id = %(owner)s
 UNION ALL
SELECT 'step', s.directive_id FROM makima.step s JOIN makima.directive d ON d.id = s.directive_id
 WHERE s.id = %(id)s AND d.owner_id = %(owner)s
 UNION ALL
SELECT 'task', t.directive_id FROM makima.task t WHERE t.id = %(id)s AND t.owner_id = %(owner)s;

-- name: why_nodes
-- The DAG with what holds its steps.
SELECT s.id, s.name, s.status, s.order_index, s.held_by, s.removed_by, s.reason,
       ARRAY(SELECT e.depends_on FROM makima.step_dependency e WHERE e.step_id = s.id ORDER BY e.position) AS depends_on
  FROM makima.step s WHERE s.directive_id = %(directive)s ORDER BY s.order_index, s.id;

-- name: why_tasks
-- The newest task of each step and kind. Relies on task_by_directive.
SELECT DISTINCT ON (t.step_id, t.kind) t.id, t.step_id, t.kind, t.name, t.status, t.attempt, t.daemon, t.reason,
       t.waiting_reason, t.cancel_asked,
       greatest(extract(epoch FROM t.not_before - makima.now()), 0)::float8 AS backoff_seconds
  FROM makima.task t WHERE t.directive_id = %(directive)s ORDER BY t.step_id, t.kind, t.id DESC;

-- name: why_slots
-- An owner's slots, and a directive's share. Relies on task_on_a_daemon.
SELECT (SELECT count(*) FROM makima.daemon WHERE owner_id = %(owner)s AND connected)::integer AS daemons,
       (SELECT coalesce(sum(capacity), 0) FROM makima.daemon
         WHERE owner_id = %(owner)s AND connected AND NOT draining)::integer AS capacity,
       (SELECT count(*) FROM makima.task WHERE owner_id = %(owner)s AND status IN ('starting', 'running', 'paused'))::integer AS taken,
       (SELECT count(*) FROM makima.task WHERE owner_id = %(owner)s AND directive_id = %(directive)s
           AND status IN ('starting', 'running', 'paused'))::integer AS parallel,
       d.max_parallel, d.status, d.title, d.pause_reason, d.pr_branch, d.pr_url,
       EXISTS (SELECT FROM makima.plan_request r WHERE r.directive_id = d.id AND r.served_by IS NULL) AS plan_requested,
       EXISTS (SELECT FROM makima.step s WHERE s.directive_id = d.id AND s.status = 'completed' AND NOT s.delivered) AS undelivered
  FROM makima.directive d WHERE d.id = %(directive)s;
