-- ==== Access

-- name: own
-- The owner of this cluster, with the hash of its person's token, and how many of its tasks may run at once.
INSERT INTO makima.owner (id, name, token_hash, max_running) VALUES (%(id)s, %(name)s, %(hash)s, %(max_running)s)
    ON CONFLICT (name) DO UPDATE SET token_hash = excluded.token_hash, max_running = excluded.max_running
RETURNING id;

-- name: live_task
-- The task of a token, as long as its attempt is live.
SELECT t.id, t.directive_id, t.kind, t.owner_id FROM makima.task t
 WHERE t.id = %(task)s AND t.attempt = %(attempt)s AND t.status IN ('starting', 'running', 'paused');

-- ==== Directives

-- name: create
INSERT INTO makima.directive (id, owner_id, title, goal, repository_url, base_branch, agent, on_failure, max_parallel,
                              max_attempts, approve_plan, max_cost_usd, max_tokens, deadline, stop_now, merge_into_base,
                              check_command)
VALUES (%(id)s, %(owner)s, %(title)s, %(goal)s, %(repository)s, %(base)s, %(agent)s, %(on_failure)s, %(max_parallel)s,
        %(max_attempts)s, %(approve_plan)s, %(max_cost_usd)s, %(max_tokens)s, %(deadline)s, %(stop_now)s, %(merge_into_base)s,
        %(check)s);

-- name: lock
-- A directive of this owner, locked before anything of it is changed.
SELECT * FROM makima.directive WHERE id = %(id)s AND owner_id = %(owner)s FOR UPDATE;

-- name: awaited
-- The tasks whose steps and removals wait for approval.
SELECT makima.awaiting_approval(d) AS tasks FROM makima.directive d WHERE d.id = %(id)s;

-- name: set_status
UPDATE makima.directive
   SET status = %(status)s, pause_reason = %(reason)s, version = version + 1,
       paused_for = CASE WHEN %(status)s = 'paused' THEN 'person' END
 WHERE id = %(id)s;

-- name: activate
-- Active again; or awaiting approval, while a plan waits for it.
UPDATE makima.directive
   SET status = CASE WHEN awaited_plan IS NULL THEN 'active' ELSE 'awaiting_approval' END, pause_reason = NULL,
       paused_for = NULL, version = version + 1
 WHERE id = %(id)s
RETURNING status, version;

-- name: changes_since
-- What people changed of a directive after a version. Relies on event_by_directive.
SELECT e.at, ARRAY(SELECT jsonb_array_elements_text(e.body -> 'changed')) AS changed
  FROM makima.event e
 WHERE e.directive_id = %(id)s AND e.type = 'directive.changed' AND (e.body ->> 'version')::integer > %(version)s
 ORDER BY e.seq DESC LIMIT 5;

-- name: version
SELECT status, version FROM makima.directive WHERE id = %(id)s;

-- name: change_goal
-- The goal replaced, the earlier one kept with when.
WITH earlier AS (
    INSERT INTO makima.goal_history (directive_id, goal) SELECT id, goal FROM makima.directive WHERE id = %(id)s
)
UPDATE makima.directive SET goal = %(goal)s, version = version + 1 WHERE id = %(id)s;

-- name: change_policies
UPDATE makima.directive
   SET on_failure = %(on_failure)s, approve_plan = %(approve_plan)s, max_parallel = %(max_parallel)s,
       max_attempts = %(max_attempts)s, max_cost_usd = %(max_cost_usd)s, max_tokens = %(max_tokens)s,
       deadline = %(deadline)s, stop_now = %(stop_now)s, version = version + 1
 WHERE id = %(id)s;

-- ==== Planning

-- name: request_plan
INSERT INTO makima.plan_request (id, directive_id, reason, payload)
VALUES (%(id)s, %(directive)s, %(reason)s, %(payload)s::jsonb);

-- name: supersede
-- Ask for the end of a live planning whose plan is wanted no more: the monitor puts its requests back.
UPDATE makima.task SET cancel_asked = %(why)s, cancel_cause = 'superseded', version = version + 1
 WHERE directive_id = %(directive)s AND kind = 'plan' AND status IN ('pending', 'starting', 'running', 'paused')
   AND cancel_asked IS NULL
RETURNING id, attempt, kind, status;

-- name: stop_tasks
UPDATE makima.task SET cancel_asked = %(why)s, cancel_cause = 'stopped', version = version + 1
 WHERE directive_id = %(directive)s AND kind IN ('plan', 'step') AND cancel_asked IS NULL
   AND status IN ('pending', 'starting', 'running', 'paused')
RETURNING id, attempt, kind, status;

-- name: end_tasks
UPDATE makima.task SET cancel_asked = %(why)s, cancel_cause = 'archived', version = version + 1
 WHERE directive_id = %(directive)s AND cancel_asked IS NULL AND status IN ('pending', 'starting', 'running', 'paused')
RETURNING id, attempt, kind, status;

-- name: enforce_plans
SELECT directive_id, steps, gone FROM makima.enforce_plans(%(tasks)s::uuid[]);

-- name: withdraw_plans
-- A plan that waited for approval is withdrawn, and its requests are unserved again.
WITH back AS (
    UPDATE makima.plan_request SET served_by = NULL WHERE served_by = ANY (%(tasks)s)
)
SELECT directive_id, id FROM makima.withdraw_plans(%(tasks)s::uuid[]);

-- name: needs_plan
-- Whether a directive that starts needs a plan first: no steps, no request, no planning.
SELECT NOT EXISTS (SELECT FROM makima.step WHERE directive_id = d.id)
       AND (SELECT true FROM makima.open_planning p WHERE p.directive_id = d.id LIMIT 1) IS NULL AS needed
  FROM makima.directive d WHERE d.id = %(id)s;

-- ==== Steps

-- name: step_names
SELECT id, name FROM makima.step WHERE directive_id = %(id)s AND removed_by IS NULL;

-- name: add_steps
-- A whole batch of steps in one statement.
INSERT INTO makima.step (id, directive_id, name, description, task_plan, files, order_index, generation, held_by, added_by)
SELECT u.id, %(directive)s, u.name, u.description, u.task_plan, u.files::text[], u.order_index, u.generation, %(held_by)s,
       %(added_by)s
  FROM unnest(%(ids)s::uuid[], %(names)s::text[], %(descriptions)s::text[], %(task_plans)s::text[], %(files)s::text[],
              %(order_indexes)s::integer[], %(generations)s::integer[])
       AS u (id, name, description, task_plan, files, order_index, generation);

-- name: add_dependencies
INSERT INTO makima.step_dependency (step_id, depends_on, position)
SELECT * FROM unnest(%(steps)s::uuid[], %(needs)s::uuid[], %(positions)s::integer[]);

-- name: make_ready
-- What a person's change lets run at once (rule 1).
WITH judged AS MATERIALIZED (
    SELECT r.id, r.status FROM makima.runnable r
     WHERE r.directive_id = %(directive)s AND r.status = 'pending'
       AND (SELECT d.status FROM makima.directive d WHERE d.id = %(directive)s) = 'active'
)
UPDATE makima.step s SET status = 'ready', version = s.version + 1
  FROM judged
 WHERE s.id = judged.id AND s.status = judged.status
RETURNING s.id;

-- name: found_steps
-- How many steps tasks of this directive have added for work that they found, since its newest plan. Relies on
-- step_by_directive.
SELECT count(*)::integer AS found
  FROM makima.step s JOIN makima.directive d ON d.id = s.directive_id JOIN makima.task t ON t.id = s.added_by
 WHERE s.directive_id = %(directive)s AND t.kind <> 'plan' AND s.generation = d.generation;

-- name: added_by
-- Which task added a step.
SELECT added_by FROM makima.step WHERE id = %(step)s AND directive_id = %(directive)s;

-- name: remove_step
-- A removal counts at once, or, of a task whose changes are held, with its other ones; its own held steps it takes back.
WITH chosen AS (
    SELECT id FROM makima.step
     WHERE id = %(step)s AND directive_id = %(directive)s AND status IN ('pending', 'ready', 'failed', 'skipped')
       AND NOT EXISTS (SELECT FROM makima.task t WHERE t.step_id = makima.step.id AND t.status IN ('starting', 'running', 'paused'))
), held AS (
    UPDATE makima.step s SET removed_by = %(held_by)s, status = CASE WHEN s.status = 'ready' THEN 'pending' ELSE s.status END
      FROM chosen
     WHERE s.id = chosen.id AND %(held_by)s::uuid IS NOT NULL AND s.held_by IS DISTINCT FROM %(held_by)s
    RETURNING s.id, s.name, s.status
), gone AS (
    DELETE FROM makima.step s USING chosen
     WHERE s.id = chosen.id AND (%(held_by)s::uuid IS NULL OR s.held_by = %(held_by)s)
    RETURNING s.id, s.name, s.status
)
SELECT id, name, status, false AS gone FROM held UNION ALL SELECT id, name, status, true FROM gone;

-- name: dependents
-- Steps that depend on one, and aren't about to go themselves. Relies on step_dependents.
SELECT s.name FROM makima.step_dependency e JOIN makima.step s ON s.id = e.step_id
 WHERE e.depends_on = %(step)s AND s.removed_by IS NULL AND s.status NOT IN ('running', 'completed', 'failed', 'skipped')
 ORDER BY s.id LIMIT 10;

-- name: retry_step
-- A failed step, and what was skipped because it had failed, may run again. Relies on step_skipped_for.
UPDATE makima.step SET status = 'pending', reason = NULL, skipped_for = NULL, version = version + 1
 WHERE directive_id = %(directive)s
   AND (id = %(step)s AND status = 'failed' OR skipped_for = %(step)s AND status = 'skipped')
RETURNING id, name, status;

-- name: skip_step
-- A step is skipped by a person, for good; what was skipped because it had failed may run.
UPDATE makima.step
   SET status = CASE WHEN id = %(step)s THEN 'skipped' ELSE 'pending' END, skipped_for = NULL, version = version + 1,
       reason = CASE WHEN id = %(step)s THEN 'skipped by a person' END
 WHERE directive_id = %(directive)s
   AND (id = %(step)s AND status IN ('pending', 'ready', 'failed') AND NOT EXISTS (
            SELECT FROM makima.task t
             WHERE t.step_id = %(step)s AND t.kind = 'step' AND t.status IN ('pending', 'starting', 'running', 'paused'))
        OR skipped_for = %(step)s AND status = 'skipped')
RETURNING id, name, status;

-- name: find_step
SELECT s.id, s.name, s.status, s.directive_id FROM makima.step s
  JOIN makima.directive d ON d.id = s.directive_id AND d.owner_id = %(owner)s
 WHERE s.id = %(step)s;

-- name: failed_steps
SELECT count(*)::integer AS failed FROM makima.step WHERE directive_id = %(directive)s AND status = 'failed';

-- ==== Orders

-- name: serve_orders
-- Which orders steps serve: only the directive's own that are not cancelled.
INSERT INTO makima.step_order (step_id, order_id)
SELECT u.step_id, o.id
  FROM unnest(%(steps)s::uuid[], %(orders)s::uuid[]) AS u (step_id, order_id)
  JOIN makima.work_order o ON o.id = u.order_id AND o.directive_id = %(directive)s AND o.status <> 'cancelled'
    ON CONFLICT DO NOTHING
RETURNING order_id;

-- name: orders_of_steps
SELECT DISTINCT order_id FROM makima.step_order WHERE step_id = ANY (%(steps)s);

-- name: settle_orders
SELECT * FROM makima.settle_orders(ARRAY(
    SELECT DISTINCT so.order_id FROM makima.step_order so WHERE so.step_id = ANY (%(steps)s)));

-- name: settle_these_orders
SELECT * FROM makima.settle_orders(%(orders)s::uuid[]);

-- name: add_order
INSERT INTO makima.work_order (id, owner_id, directive_id, title, description, priority, order_type)
VALUES (%(id)s, %(owner)s, %(directive)s, %(title)s, %(description)s, %(priority)s, %(order_type)s)
RETURNING *;

-- name: list_orders
-- Orders, the most urgent first (work_order_by_owner).
SELECT o.*, coalesce((SELECT array_agg(so.step_id) FROM makima.step_order so WHERE so.order_id = o.id), '{}') AS steps
  FROM makima.work_order o
 WHERE o.owner_id = %(owner)s AND (%(directive)s::uuid IS NULL OR o.directive_id = %(directive)s)
   AND (%(status)s::text IS NULL OR o.status = %(status)s)
 ORDER BY array_position(ARRAY['critical', 'high', 'medium', 'low', 'none'], o.priority), o.id LIMIT 1000;

-- name: link_order
UPDATE makima.work_order SET directive_id = %(directive)s, version = version + 1
 WHERE id = %(order)s AND owner_id = %(owner)s AND status = 'open'
RETURNING *;

-- name: cancel_order
UPDATE makima.work_order SET status = 'cancelled', version = version + 1
 WHERE id = %(order)s AND owner_id = %(owner)s AND status IN ('open', 'in_progress')
RETURNING *;

-- name: open_orders
SELECT count(*)::integer AS open FROM makima.work_order WHERE directive_id = %(directive)s AND status = 'open';

-- ==== Questions

-- name: ask
INSERT INTO makima.question (id, task_id, attempt, directive_id, text, options, default_answer, expires_at)
VALUES (%(id)s, %(task)s, %(attempt)s, %(directive)s, %(text)s, %(options)s, %(default)s,
        makima.now() + %(timeout)s * interval '1 second')
RETURNING *;

-- name: question
-- A question, and whether anybody still waits for it.
SELECT q.*, t.name AS task_name, d.title,
       q.settled IS NULL AND t.attempt = q.attempt AND t.status IN ('starting', 'running', 'paused') AS open
  FROM makima.question q
  JOIN makima.task t ON t.id = q.task_id
  JOIN makima.directive d ON d.id = q.directive_id
 WHERE q.id = %(id)s AND d.owner_id = %(owner)s;

-- name: questions
-- The questions that wait for an answer, oldest first (question_open).
SELECT q.*, t.name AS task_name, d.title, true AS open
  FROM makima.question q
  JOIN makima.task t ON t.id = q.task_id AND t.attempt = q.attempt AND t.status IN ('starting', 'running', 'paused')
  JOIN makima.directive d ON d.id = q.directive_id
 WHERE q.settled IS NULL AND d.owner_id = %(owner)s ORDER BY q.asked_at, q.id;

-- name: answer
UPDATE makima.question q SET answer = %(answer)s, settled = 'answered', settled_at = makima.now()
  FROM makima.task t
 WHERE q.id = %(id)s AND q.settled IS NULL AND t.id = q.task_id AND t.owner_id = %(owner)s
   AND t.attempt = q.attempt AND t.status IN ('starting', 'running', 'paused')
RETURNING q.id, q.task_id, q.directive_id;

-- name: give_up
-- The live attempt's agent says that it can't do its task.
UPDATE makima.task SET gave_up = %(reason)s, version = version + 1
 WHERE id = %(task)s AND attempt = %(attempt)s AND status IN ('starting', 'running', 'paused')
RETURNING id;

-- ==== Directives, read

-- name: list
-- The newest directives before one, with their steps counted by status (directive_by_owner, step_by_directive).
SELECT d.id, d.title, d.status, d.pause_reason, d.repository_url, d.pr_branch, d.pr_url, d.created_at, d.version,
       coalesce((SELECT jsonb_object_agg(c.status, c.many)
                   FROM (SELECT s.status, count(*) AS many FROM makima.step s WHERE s.directive_id = d.id GROUP BY 1) c),
                '{}') AS steps,
       coalesce((SELECT sum(t.cost_usd) FROM makima.task t WHERE t.directive_id = d.id), 0)::float AS cost_usd
  FROM makima.directive d
 WHERE d.owner_id = %(owner)s AND (%(before)s::uuid IS NULL OR d.id < %(before)s)
   AND (%(status)s::text IS NULL OR d.status = %(status)s)
 ORDER BY d.id DESC LIMIT %(limit)s;

-- name: show
SELECT d.*, makima.awaiting_approval(d) AS awaited, d.max_cost_usd::float AS max_cost_usd, coalesce(sum(t.cost_usd), 0)::float AS cost_usd, coalesce(sum(t.tokens), 0)::bigint AS tokens
  FROM makima.directive d LEFT JOIN makima.task t ON t.directive_id = d.id
 WHERE d.id = %(id)s AND d.owner_id = %(owner)s GROUP BY d.id;

-- name: steps
-- Steps with their newest task: the live one, else the one that settled them. Relies on task_one_live_a_step.
SELECT s.id, s.name, s.status, s.description, s.task_plan, s.files, s.generation, s.order_index, s.branch, s.reason,
       s.outcome, s.files_changed, CASE WHEN s.held_by IS NOT NULL THEN 'added' WHEN s.removed_by IS NOT NULL THEN 'removed' END AS proposed,
       coalesce((SELECT array_agg(so.order_id) FROM makima.step_order so WHERE so.step_id = s.id), '{}') AS orders,
       t.id AS task_id, t.status AS task_status, coalesce(t.attempt, 0) AS attempts, t.daemon, t.waiting_reason,
       t.dispatched_at AS started_at, t.ended_at,
       coalesce((SELECT array_agg(e.depends_on ORDER BY e.position) FROM makima.step_dependency e WHERE e.step_id = s.id), '{}') AS depends_on
  FROM makima.step s
  LEFT JOIN makima.task t
    ON t.id = coalesce((SELECT l.id FROM makima.task l
                         WHERE l.step_id = s.id AND l.kind = 'step' AND l.status IN ('pending', 'starting', 'running', 'paused')),
                       s.task_id)
 WHERE s.directive_id = %(id)s
 ORDER BY s.order_index, s.id;

-- ==== Tasks

-- name: tasks
-- The newest tasks before one, of a directive or of all.
SELECT t.id, t.kind, t.name, t.status, t.attempt, t.agent, t.daemon, t.branch, t.reason, t.waiting_reason, t.step_id,
       t.directive_id, t.cost_usd::float, t.tokens, t.created_at, t.ended_at
  FROM makima.task t
 WHERE t.owner_id = %(owner)s AND (%(directive)s::uuid IS NULL OR t.directive_id = %(directive)s)
   AND (%(before)s::uuid IS NULL OR t.id < %(before)s) AND (%(status)s::text IS NULL OR t.status = %(status)s)
 ORDER BY t.id DESC LIMIT %(limit)s;

-- name: task
SELECT t.id, t.kind, t.name, t.status, t.attempt, t.agent, t.daemon, t.branch, t.reason, t.waiting_reason, t.step_id,
       t.directive_id, t.cost_usd::float, t.tokens, t.created_at, t.ended_at, t.prompt, t.outcome, t.commits
  FROM makima.task t WHERE t.id = %(task)s AND t.owner_id = %(owner)s;

-- name: attempts
SELECT a.number, a.daemon, a.agent, a.session, a.branch, a.started_at, a.ended_at, a.outcome, a.reason, a.exit_code,
       a.cost_usd, a.tokens
  FROM makima.attempt a WHERE a.task_id = %(task)s ORDER BY a.number;

-- name: output
SELECT o.attempt, o.first_seq, o.events FROM makima.task_output o
  JOIN makima.task t ON t.id = o.task_id
 WHERE o.task_id = %(task)s AND t.owner_id = %(owner)s
   AND (o.attempt, o.first_seq) > (%(after_attempt)s, %(after_seq)s)
 ORDER BY o.attempt, o.first_seq LIMIT %(limit)s;

-- name: cancel
UPDATE makima.task SET cancel_asked = 'cancelled by a person', version = version + 1
 WHERE id = %(task)s AND owner_id = %(owner)s AND status IN ('pending', 'starting', 'running', 'paused')
RETURNING directive_id, attempt, kind, status;

-- name: tell
-- Keep a person's words for a task that hasn't ended, until they reach its agent.
WITH told AS (
    SELECT t.* FROM makima.task t
     WHERE t.id = %(task)s AND t.owner_id = %(owner)s AND t.status IN ('pending', 'starting', 'running', 'paused')
       FOR SHARE
), kept AS (
    INSERT INTO makima.task_message (id, task_id, text) SELECT %(id)s, told.id, %(text)s FROM told
)
SELECT directive_id AS directive, attempt, kind, status FROM told;

-- ==== Daemons

-- name: drain
UPDATE makima.daemon SET drain_asked = %(on)s WHERE owner_id = %(owner)s AND name = %(name)s RETURNING name;

-- name: daemons
SELECT d.name, d.capacity, d.connected, d.draining, d.refuses, d.labels, d.agents, d.last_seen,
       (SELECT count(*) FROM makima.task t WHERE t.owner_id = d.owner_id AND t.daemon = d.name
           AND t.status IN ('starting', 'running', 'paused'))::integer AS running
  FROM makima.daemon d WHERE d.owner_id = %(owner)s ORDER BY d.name;

-- ==== Events

-- name: events
SELECT e.seq, e.type, e.directive_id, e.body, e.at FROM makima.event e
  JOIN makima.directive d ON d.id = e.directive_id AND d.owner_id = %(owner)s
 WHERE e.directive_id = %(directive)s AND e.seq > %(after)s ORDER BY e.seq LIMIT %(limit)s;


-- name: replay
-- Entries of the log between two numbers, of one directive (event_by_directive) or of all (the primary key).
SELECT e.seq, e.type, e.directive_id, e.body, e.at, d.owner_id FROM makima.event e
  JOIN makima.directive d ON d.id = e.directive_id AND d.owner_id = %(owner)s
 WHERE e.seq > %(after)s AND e.seq <= %(to)s AND (%(directive)s::uuid IS NULL OR e.directive_id = %(directive)s)
 ORDER BY e.seq LIMIT %(limit)s;

-- name: settled_position
-- A number below which every transaction has ended: the newest entry that is not quite new. Walks the primary key back.
SELECT coalesce((SELECT seq FROM makima.event WHERE at < makima.now() - interval '2 seconds'
                  ORDER BY seq DESC LIMIT 1), 0) AS seq;

-- name: last_position
SELECT coalesce(max(seq), 0) AS seq FROM makima.event;

-- name: follow
-- What was added to the log, whosoever's it is.
SELECT e.seq, e.type, e.directive_id, e.body, e.at, d.owner_id FROM makima.event e
  LEFT JOIN makima.directive d ON d.id = e.directive_id
 WHERE e.seq > %(after)s ORDER BY e.seq LIMIT %(limit)s;

-- ==== Idempotency

-- name: claim_key
-- Claims a key for the transaction that does the work; gives no row when it was claimed before. Waits for one that is at it.
INSERT INTO makima.idempotency_key (owner_id, key, request) VALUES (%(owner)s, %(key)s, %(request)s)
    ON CONFLICT DO NOTHING RETURNING key;

-- name: kept_answer
SELECT request, answer FROM makima.idempotency_key WHERE owner_id = %(owner)s AND key = %(key)s;

-- name: keep_answer
-- Keeps the answer, and forgets those of yesterday (idempotency_key_by_age).
WITH old AS (DELETE FROM makima.idempotency_key WHERE at < makima.now() - interval '1 day')
UPDATE makima.idempotency_key SET answer = %(answer)s::jsonb WHERE owner_id = %(owner)s AND key = %(key)s;

-- ==== Counts

-- name: overview
-- An owner's directives, live tasks, daemons and slots by status (directive_by_owner, the partial indexes of live tasks).
SELECT 'directives' AS what, status, count(*)::bigint AS many FROM makima.directive WHERE owner_id = %(owner)s GROUP BY status
UNION ALL
SELECT 'tasks', 'pending', count(*) FROM makima.task WHERE owner_id = %(owner)s AND status = 'pending' HAVING count(*) > 0
UNION ALL
SELECT 'tasks', status, count(*) FROM makima.task
 WHERE owner_id = %(owner)s AND status IN ('starting', 'running', 'paused') GROUP BY status
UNION ALL
SELECT 'daemons', CASE WHEN connected THEN 'connected' ELSE 'lost' END, count(*) FROM makima.daemon
 WHERE owner_id = %(owner)s GROUP BY 2
UNION ALL
SELECT 'slots', 'capacity', coalesce(sum(capacity), 0) FROM makima.daemon WHERE owner_id = %(owner)s AND connected;

-- name: counts
-- Everything that is counted for /metrics. The open ones by their partial indexes, directives by a scan of their table.
SELECT 'directives' AS what, status, count(*)::bigint AS many FROM makima.directive GROUP BY status
UNION ALL
SELECT 'tasks', 'pending', count(*) FROM makima.task WHERE status = 'pending' HAVING count(*) > 0
UNION ALL
SELECT 'tasks', status, count(*) FROM makima.task WHERE status IN ('starting', 'running', 'paused') GROUP BY status
UNION ALL
SELECT 'daemons', CASE WHEN connected THEN 'connected' ELSE 'lost' END, count(*) FROM makima.daemon GROUP BY 2
UNION ALL
SELECT 'slots', 'capacity', coalesce(sum(capacity), 0) FROM makima.daemon WHERE connected;

-- name: tell_delivery
-- What an agent or a person says of a delivery: its pull request, and that it is done for good (rule 13).
UPDATE makima.directive d
   SET pr_url = coalesce(%(url)s, d.pr_url), pr_state = CASE WHEN %(url)s::text IS NULL THEN d.pr_state ELSE 'open' END,
       pr_look_at = CASE WHEN %(url)s::text IS NULL THEN d.pr_look_at ELSE makima.now() END,
       status = coalesce(%(status)s, d.status), pause_reason = CASE WHEN %(status)s::text IS NULL THEN d.pause_reason END,
       version = d.version + 1
 WHERE d.id = %(id)s
RETURNING d.status, d.version;
-- ==== Why, and the inbox

-- name: why_find
-- What an id is of.
SELECT 'directive' AS kind, d.id AS directive_id, d.title AS name, d.status
  FROM makima.directive d WHERE d.id = %(id)s AND d.owner_id = %(owner)s
UNION ALL
SELECT 'step', s.directive_id, s.name, s.status
  FROM makima.step s JOIN makima.directive d ON d.id = s.directive_id WHERE s.id = %(id)s AND d.owner_id = %(owner)s
UNION ALL
SELECT 'task', t.directive_id, t.name, t.status FROM makima.task t WHERE t.id = %(id)s AND t.owner_id = %(owner)s;

-- name: why_directive
-- A directive with what is due of it, and its owner's slots. Relies on plan_request_unserved, step_undelivered,
-- task_on_a_daemon.
SELECT d.status, d.pause_reason, d.paused_for, d.awaited_plan, makima.awaiting_approval(d) AS awaited, d.on_failure, d.max_parallel,
       coalesce(d.pr_url, d.pr_branch) AS delivered_to, d.delivery_outcome,
       EXISTS (SELECT FROM makima.step s WHERE s.directive_id = d.id AND s.status = 'completed' AND NOT s.delivered) AS undelivered,
       ARRAY(SELECT r.reason FROM makima.plan_request r WHERE r.directive_id = d.id AND r.served_by IS NULL ORDER BY r.id) AS requests,
       (SELECT count(*)::integer FROM makima.daemon w WHERE w.owner_id = d.owner_id AND w.connected AND NOT w.draining) AS daemons,
       (SELECT coalesce(sum(w.capacity), 0)::integer FROM makima.daemon w
         WHERE w.owner_id = d.owner_id AND w.connected AND NOT w.draining) AS capacity,
       ARRAY(SELECT w.name || CASE WHEN w.refuses IS NULL THEN ' drains' ELSE ': ' || w.refuses END FROM makima.daemon w
              WHERE w.owner_id = d.owner_id AND w.connected AND w.draining ORDER BY w.name) AS refusing,
       (SELECT count(*)::integer FROM makima.task t
         WHERE t.owner_id = d.owner_id AND t.status IN ('starting', 'running', 'paused')) AS running,
       (SELECT o.max_running FROM makima.owner o WHERE o.id = d.owner_id) AS max_running, makima.now() AS now
  FROM makima.directive d WHERE d.id = %(directive)s;

-- name: why_steps
-- Relies on step_by_directive.
SELECT s.id, s.name, s.status, s.order_index, s.held_by, s.removed_by, s.skipped_for, s.reason,
       ARRAY(SELECT e.depends_on FROM makima.step_dependency e WHERE e.step_id = s.id ORDER BY e.position) AS depends_on
  FROM makima.step s WHERE s.directive_id = %(directive)s ORDER BY s.order_index, s.id;

-- name: why_tasks
-- The live tasks, and the one that is asked about. Relies on task_by_directive and question_open.
SELECT t.id, t.kind, t.name, t.status, t.attempt, t.step_id AS step, t.not_before, t.cancel_asked,
       CASE WHEN t.refused_attempt = t.attempt THEN t.waiting_reason END AS refused_for, coalesce(t.reason, a.reason) AS reason, t.daemon, q.id AS question
  FROM makima.task t
  LEFT JOIN LATERAL (SELECT q.id FROM makima.question q
                      WHERE q.directive_id = t.directive_id AND q.task_id = t.id AND q.attempt = t.attempt
                        AND q.settled IS NULL ORDER BY q.id LIMIT 1) AS q ON true
  LEFT JOIN LATERAL (SELECT a.reason FROM makima.attempt a
                      WHERE a.task_id = t.id AND a.number < t.attempt ORDER BY a.number DESC LIMIT 1) AS a ON true
 WHERE t.directive_id = %(directive)s
   AND (t.id = %(also)s OR t.status IN ('pending', 'starting', 'running', 'paused'))
 ORDER BY t.id;

-- name: inbox
-- All that waits for a person, oldest first: questions, approvals, paused directives, and what no daemon has taken for a
-- minute. Relies on question_open, directive_waits_for_a_person, directive_by_status, step_proposed, task_refused.
SELECT 'question' AS kind, q.id, q.directive_id, d.title, t.name || ' asks: ' || q.text AS text, q.asked_at AS since,
       d.status, NULL AS paused_for, NULL::uuid AS failed_step
  FROM makima.question q
  JOIN makima.task t ON t.id = q.task_id AND t.attempt = q.attempt AND t.status IN ('starting', 'running', 'paused')
  JOIN makima.directive d ON d.id = q.directive_id
 WHERE q.settled IS NULL AND d.owner_id = %(owner)s
UNION ALL
SELECT CASE d.status WHEN 'paused' THEN 'paused' ELSE 'approval' END, d.id, d.id, d.title,
       coalesce(d.pause_reason, CASE WHEN d.awaited_plan IS NULL THEN 'work that its steps found waits for approval'
                                     ELSE 'a plan waits for approval' END), d.status_at, d.status, d.paused_for,
       (SELECT s.id FROM makima.step s WHERE s.directive_id = d.id AND s.status = 'failed' ORDER BY s.order_index, s.id LIMIT 1)
  FROM makima.directive d
 WHERE d.owner_id = %(owner)s AND d.status IN ('paused', 'awaiting_approval')
UNION ALL
SELECT 'approval', d.id, d.id, d.title, 'work that its steps found waits for approval; the rest goes on', d.status_at,
       'awaiting_approval', NULL, NULL
  FROM makima.directive d
 WHERE d.owner_id = %(owner)s AND d.status = 'active' AND makima.awaiting_approval(d) <> '{}'
UNION ALL
SELECT 'waiting', t.id, t.directive_id, d.title, t.name || ' can''t be sent: ' || t.waiting_reason, t.refused_since,
       d.status, NULL, NULL
  FROM makima.task t JOIN makima.directive d ON d.id = t.directive_id
 WHERE t.owner_id = %(owner)s AND t.status IN ('pending', 'starting') AND d.status IN ('active', 'idle')
   AND t.refused_attempt IS NOT NULL AND t.refused_attempt = t.attempt
   AND t.refused_since < makima.now() - interval '1 minute'
 ORDER BY since, id;
