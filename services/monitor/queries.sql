-- name: tasks
-- The tasks that a batch of reports is about, locked together with their directives, so that two monitors never
-- judge readiness of one directive at a time. Relies on the primary keys.
SELECT t.id, t.directive_id, t.step_id, t.kind, (SELECT o.name FROM makima.owner o WHERE o.id = t.owner_id) AS owner, t.name,
       t.status, t.attempt, t.failures, t.losses, t.daemon, t.cancel_cause, t.gave_up, d.max_attempts, d.on_failure, d.approve_plan,
       d.max_cost_usd IS NOT NULL OR d.max_tokens IS NOT NULL AS has_budget,
       EXISTS (SELECT FROM makima.step_order so WHERE so.step_id = t.step_id) AS serves,
       coalesce(a.cost_usd, 0)::float8 AS spent_usd, coalesce(a.tokens, 0) AS spent_tokens
  FROM makima.task t
  JOIN makima.directive d ON d.id = t.directive_id
  LEFT JOIN makima.attempt a ON a.task_id = t.id AND a.number = t.attempt
 WHERE t.id = ANY (%(tasks)s)
 ORDER BY d.id, t.id
   FOR NO KEY UPDATE OF d, t;

-- name: apply
-- Write what became of tasks and attempts, and with them their steps and what their owners spend. One row a task, as decided. Each step that changed
-- has its entry in the audit log.
WITH new AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(decisions)s::jsonb)
        AS u (id uuid, attempt integer, status makima.task_status, next_attempt integer, failures integer, losses integer, delay float,
              daemon text, branch text, head text, session text, outcome text, reason text, cost numeric, kept_branch text,
              tokens bigint, ended_as makima.attempt_outcome, tail text, exit_code integer, step_status makima.step_status,
              result jsonb, files text[], commits jsonb, base text)
), before AS (
    SELECT a.task_id, a.cost_usd, a.tokens
      FROM new JOIN makima.attempt a ON a.task_id = new.id AND a.number = new.attempt
     WHERE new.tokens > 0 OR new.cost > 0
), tasks AS (
    UPDATE makima.task t
       SET status = new.status, attempt = new.next_attempt, failures = new.failures, losses = new.losses,
           not_before = (SELECT makima.now()) + new.delay * interval '1 second',
           daemon = CASE WHEN new.status <> 'pending' THEN coalesce(new.daemon, t.daemon) END, branch = coalesce(new.branch, t.branch),
           head = coalesce(new.head, t.head), base_commit = coalesce(new.base, t.base_commit), session = coalesce(new.session, t.session),
           outcome = CASE WHEN new.outcome = '' THEN t.outcome ELSE new.outcome END,
           result = coalesce(new.result, t.result), commits = coalesce(new.commits, t.commits), reason = coalesce(new.reason, t.reason),
           kept_branch = coalesce(new.kept_branch, t.kept_branch),
           waiting_reason = CASE WHEN new.status = 'pending' THEN new.reason END,
           cost_usd = t.cost_usd + greatest(new.cost - coalesce((SELECT cost_usd FROM before WHERE task_id = t.id), 0), 0),
           tokens = t.tokens + greatest(new.tokens - coalesce((SELECT tokens FROM before WHERE task_id = t.id), 0), 0),
           lease_until = CASE WHEN new.status IN ({on_a_daemon})
                              THEN (SELECT makima.now()) + %(lease)s * interval '1 second' END,
           ended_at = CASE WHEN new.status IN ({ended_task}) THEN (SELECT makima.now()) END,
           gave_up = CASE WHEN new.status <> 'pending' THEN t.gave_up END,
           version = t.version + 1
      FROM new
     WHERE t.id = new.id
    RETURNING new.*, t.step_id, t.agent, t.owner_id
), spent AS (
    INSERT INTO makima.owner_spending AS s (owner_id, day, cost_usd)
    SELECT t.owner_id, ((SELECT makima.now()) AT TIME ZONE 'UTC')::date, sum(t.cost - coalesce(b.cost_usd, 0))
      FROM tasks t LEFT JOIN before b ON b.task_id = t.id
     WHERE t.cost > coalesce(b.cost_usd, 0)
     GROUP BY t.owner_id
        ON CONFLICT (owner_id, day) DO UPDATE SET cost_usd = s.cost_usd + excluded.cost_usd
), attempts AS (
    INSERT INTO makima.attempt AS a (task_id, number, daemon, agent, session, branch, ended_at, outcome, reason, tail, exit_code,
                                     cost_usd, tokens)
    SELECT id, attempt, daemon, agent, session, branch, CASE WHEN ended_as IS NOT NULL THEN (SELECT makima.now()) END, ended_as,
           reason, tail, exit_code, cost, tokens
      FROM tasks
        ON CONFLICT (task_id, number) DO UPDATE
       SET daemon = coalesce(excluded.daemon, a.daemon), session = coalesce(excluded.session, a.session),
           branch = coalesce(excluded.branch, a.branch), ended_at = coalesce(excluded.ended_at, a.ended_at),
           outcome = coalesce(excluded.outcome, a.outcome), reason = coalesce(excluded.reason, a.reason),
           tail = coalesce(excluded.tail, a.tail), exit_code = coalesce(excluded.exit_code, a.exit_code),
           cost_usd = greatest(excluded.cost_usd, a.cost_usd), tokens = greatest(excluded.tokens, a.tokens)
), steps AS (
    UPDATE makima.step s
       SET status = new.step_status, task_id = new.id, version = s.version + 1,
           branch = CASE WHEN new.step_status = 'completed' THEN new.branch ELSE s.branch END,
           outcome = CASE WHEN new.step_status = 'completed' THEN new.outcome ELSE s.outcome END,
           head = CASE WHEN new.step_status = 'completed' THEN new.head ELSE s.head END,
           files_changed = CASE WHEN new.step_status = 'completed' THEN new.files ELSE s.files_changed END,
           reason = CASE WHEN new.step_status = 'failed' THEN new.reason ELSE s.reason END,
           completed_at = CASE WHEN new.step_status = 'completed' THEN (SELECT makima.now()) END
      FROM tasks AS new
     WHERE s.id = new.step_id AND new.step_status IS NOT NULL
       AND s.status NOT IN ({inactive_step}) AND s.status <> new.step_status
    RETURNING s.id, s.directive_id, s.name, s.status, s.reason
), logged AS (
    INSERT INTO makima.event (type, directive_id, body)
    SELECT 'step.changed', s.directive_id,
           jsonb_build_object('type', 'step.changed', 'directive', s.directive_id, 'step', s.id, 'name', s.name,
                              'status', s.status, 'reason', s.reason)
      FROM steps s
)
SELECT id, directive_id, name, status, reason FROM steps;

-- name: agents
-- The agents that repositories' settings name run in the place of those of their tasks. By primary keys.
WITH named AS (
    SELECT * FROM unnest(%(tasks)s::uuid[], %(attempts)s::integer[], %(agents)s::text[]) AS u (task_id, number, agent)
), tasks AS (
    UPDATE makima.task t SET agent = named.agent, version = t.version + 1 FROM named WHERE t.id = named.task_id
)
UPDATE makima.attempt a SET agent = named.agent FROM named WHERE a.task_id = named.task_id AND a.number = named.number;

-- name: go_unchecked
-- The check fails on the base branch of these directives by itself, and they go on without.
UPDATE makima.directive SET check_command = '', version = version + 1 WHERE id = ANY (%(directives)s);

-- name: advance
-- After these steps settled: their dependents, and the next order_index where they were the last of theirs, become
-- ready. A row a directive, with its entry in the audit log. Under `continue` a failed step holds back no higher
-- order_index. Cost: the settled steps' out-degree. Relies on step_dependents, step_unsettled,
-- step_by_directive.
WITH settled AS (
    SELECT id, directive_id, order_index FROM makima.step WHERE id = ANY (%(steps)s)
), opened AS (
    SELECT x.directive_id, n.order_index
      FROM (SELECT directive_id, min(order_index) AS order_index FROM settled GROUP BY directive_id) AS x
      JOIN makima.directive d ON d.id = x.directive_id
     CROSS JOIN LATERAL (
           SELECT min(u.order_index) AS order_index FROM makima.step u
            WHERE u.directive_id = x.directive_id AND u.status IN ({unsettled_step})
              AND u.held_by IS NULL AND NOT (u.status = 'failed' AND d.on_failure = 'continue')) AS n
     WHERE n.order_index > x.order_index
), candidates AS (
    SELECT e.step_id AS id FROM settled JOIN makima.step_dependency e ON e.depends_on = settled.id
     UNION
    SELECT s.id FROM opened JOIN makima.step s ON s.directive_id = opened.directive_id AND s.order_index = opened.order_index
), judged AS MATERIALIZED (  -- so that rule 1 is asked of the candidates only
    SELECT r.id, r.status FROM makima.runnable r WHERE r.id = ANY (ARRAY(SELECT c.id FROM candidates c))
), ready AS (
    UPDATE makima.step s SET status = 'ready', version = s.version + 1
      FROM judged
     WHERE s.id = judged.id AND s.status = judged.status
    RETURNING s.id, s.directive_id
), found AS (
    SELECT r.directive_id, array_agg(r.id) AS steps FROM ready r GROUP BY r.directive_id
), logged AS (
    INSERT INTO makima.event (type, directive_id, body)
    SELECT 'step.ready', f.directive_id,
           jsonb_build_object('type', 'step.ready', 'directive', f.directive_id, 'steps', to_jsonb(f.steps))
      FROM found f
)
SELECT directive_id, steps FROM found;

-- name: advance_all
-- The same for whole directives: after a plan came into force, and in the sweep.
WITH judged AS MATERIALIZED (  -- so that rule 1 is asked of the candidates only
    SELECT r.id, r.status FROM makima.runnable r
     WHERE r.status = 'pending' AND r.directive_id = ANY (ARRAY(
           SELECT d.id FROM makima.directive d
            WHERE d.status = 'active' AND d.id = ANY (coalesce(%(directives)s::uuid[], ARRAY(
                  SELECT id FROM makima.directive WHERE status = 'active')))))
), ready AS (
    UPDATE makima.step s SET status = 'ready', version = s.version + 1
      FROM judged
     WHERE s.id = judged.id AND s.status = judged.status
    RETURNING s.id, s.directive_id
), found AS (
    SELECT r.directive_id, array_agg(r.id) AS steps FROM ready r GROUP BY r.directive_id
), logged AS (
    INSERT INTO makima.event (type, directive_id, body)
    SELECT 'step.ready', f.directive_id,
           jsonb_build_object('type', 'step.ready', 'directive', f.directive_id, 'steps', to_jsonb(f.steps))
      FROM found f
)
SELECT directive_id, steps FROM found;

-- name: idle
-- Active directives with steps, every one terminal, and no planning due or live (rule 11), each with its entry in the
-- audit log.
WITH idle AS (
    UPDATE makima.directive d SET status = 'idle', version = d.version + 1
     WHERE d.status = 'active'
       AND d.id = ANY (coalesce(%(directives)s::uuid[], ARRAY(SELECT id FROM makima.directive WHERE status = 'active')))
       AND (SELECT true FROM makima.step s WHERE s.directive_id = d.id LIMIT 1)
       AND (SELECT true FROM makima.step s
             WHERE s.directive_id = d.id AND s.status IN ({unfinished_step}) LIMIT 1) IS NULL
       AND (SELECT true FROM makima.open_planning p WHERE p.directive_id = d.id LIMIT 1) IS NULL
    RETURNING d.id
), logged AS (
    INSERT INTO makima.event (type, directive_id, body)
    SELECT 'directive.changed', i.id,
           jsonb_build_object('type', 'directive.changed', 'directive', i.id, 'status', 'idle', 'reason', NULL,
                              'changed', '[]'::jsonb, 'version', 0)
      FROM idle i
)
SELECT id FROM idle;

-- name: await_found
-- Active directives in which nothing runs, may run or is planned, and work that tasks found waits for approval. Relies on
-- step_unsettled and step_proposed.
UPDATE makima.directive d SET status = 'awaiting_approval', version = d.version + 1
 WHERE d.status = 'active'
   AND d.id = ANY (coalesce(%(directives)s::uuid[], ARRAY(SELECT id FROM makima.directive WHERE status = 'active')))
   AND (SELECT true FROM makima.step s
         WHERE s.directive_id = d.id AND s.status IN ({active_step}) LIMIT 1) IS NULL
   AND (SELECT true FROM makima.open_planning p WHERE p.directive_id = d.id LIMIT 1) IS NULL
   AND (SELECT true FROM makima.task t
         WHERE t.directive_id = d.id AND t.status IN ({live_task}) LIMIT 1) IS NULL
   AND makima.awaiting_approval(d) <> '{}'
RETURNING d.id;

-- name: stuck
-- Active directives in which nothing runs, nothing may run and no planning is due, but not everything is settled: what
-- is left waits for a failed step that nobody replaced, or there is no step at all. Locked. Relies on step_unsettled.
SELECT d.id, (SELECT f.name FROM makima.step f WHERE f.directive_id = d.id AND f.status = 'failed'
               ORDER BY f.order_index, f.id LIMIT 1) AS failed
  FROM makima.directive d
 WHERE d.status = 'active'
   AND d.id = ANY (coalesce(%(directives)s::uuid[], ARRAY(SELECT id FROM makima.directive WHERE status = 'active')))
   AND (SELECT true FROM makima.step s
         WHERE s.directive_id = d.id AND s.status IN ({active_step}) LIMIT 1) IS NULL
   AND (SELECT true FROM makima.open_planning p WHERE p.directive_id = d.id LIMIT 1) IS NULL
   AND (SELECT true FROM makima.task t
         WHERE t.directive_id = d.id AND t.status IN ({live_task}) LIMIT 1) IS NULL
 ORDER BY d.id
   FOR NO KEY UPDATE OF d;

-- name: planned
-- How many steps each of these planning tasks added, and how many it kept that are still to run (rule 4).
SELECT t.id, count(*) FILTER (WHERE s.held_by = t.id)::integer AS added,
       count(*) FILTER (WHERE s.held_by IS NULL AND s.removed_by IS NULL
                          AND s.status IN ({unfinished_step}))::integer AS kept
  FROM makima.task t LEFT JOIN makima.step s ON s.directive_id = t.directive_id
 WHERE t.id = ANY (%(tasks)s) GROUP BY t.id;

-- name: enforce_plans
-- Plans that ended well come into force whole (rule 5).
SELECT directive_id, steps, gone, orders FROM makima.enforce_plans(%(tasks)s::uuid[]);

-- name: await_approval
-- Plans that ended well and are to be approved: their steps stay held, and the directive waits.
UPDATE makima.directive d
   SET awaited_plan = t.id, status = CASE d.status WHEN 'active' THEN 'awaiting_approval' ELSE d.status END,
       version = d.version + 1
  FROM makima.task t WHERE t.id = ANY (%(tasks)s) AND d.id = t.directive_id
RETURNING d.id, d.status;

-- name: withdraw_plans
-- Plans that failed are withdrawn whole (rule 5).
SELECT directive_id, id FROM makima.withdraw_plans(%(tasks)s::uuid[]);

-- name: unserve
-- Planning tasks that are over for good without a plan: their requests are unserved again (rules 3 and 4).
UPDATE makima.plan_request SET served_by = NULL WHERE served_by = ANY (%(tasks)s);

-- name: rounds
-- Plannings for failures so far: since a step last completed, and under the present goal. Requests that are
-- unserved, or served by a planning that still runs, will share one planning with the next. Relies on plan_request_by_directive, step_completed, goal_history_by_directive.
SELECT d.id, d.goal ~ '\S' AS has_goal,
       count(DISTINCT r.served_by) FILTER (WHERE r.created_at > coalesce(latest.at, '-infinity'))::integer AS in_a_row,
       count(DISTINCT r.served_by)::integer AS under_this_goal
  FROM makima.directive d
  LEFT JOIN LATERAL (SELECT max(s.completed_at) AS at FROM makima.step s
                      WHERE s.directive_id = d.id AND s.status = 'completed') AS latest ON true
  LEFT JOIN makima.plan_request r
    ON r.directive_id = d.id AND r.reason = 'failure' AND r.served_by IS NOT NULL
   AND (SELECT t.status FROM makima.task t WHERE t.id = r.served_by) NOT IN ({live_task})
   AND r.created_at > coalesce((SELECT max(h.replaced_at) FROM makima.goal_history h WHERE h.directive_id = d.id), '-infinity')
 WHERE d.id = ANY (%(directives)s) GROUP BY d.id;

-- name: request_replans
-- Steps failed for good: planning is due, told what failed (rule 10).
INSERT INTO makima.plan_request (id, directive_id, reason, payload)
SELECT u.id, u.directive, 'failure', u.payload
  FROM unnest(%(ids)s::uuid[], %(directives)s::uuid[], %(payloads)s::jsonb[]) AS u (id, directive, payload);

-- name: supersede_replans
-- More steps failed while plannings for failures were under way: those end, and one planning serves them all (rule 10).
-- Relies on task_one_live_planning and plan_request_by_directive.
UPDATE makima.task t SET cancel_asked = %(reason)s, cancel_cause = 'superseded', version = t.version + 1
 WHERE t.directive_id = ANY (%(directives)s) AND t.kind = 'plan' AND t.status IN ({live_task}) AND t.cancel_asked IS NULL
   AND EXISTS (SELECT FROM makima.plan_request r
                WHERE r.directive_id = t.directive_id AND r.served_by = t.id AND r.reason = 'failure')
RETURNING t.id, t.directive_id, t.attempt, t.kind, t.status;

-- name: spent
-- What directives with limits have spent; of all directives, only the ones past their deadline.
-- Relies on task_by_directive, directive_deadline and directive_waits_for_a_person.
SELECT d.id, d.max_cost_usd, d.max_tokens, d.deadline, d.stop_now, makima.now() AS now,
       coalesce(sum(t.cost_usd), 0) AS cost_usd, coalesce(sum(t.tokens), 0)::bigint AS tokens
  FROM makima.directive d LEFT JOIN makima.task t ON t.directive_id = d.id
 WHERE d.status IN ('active', 'awaiting_approval')
   AND (d.max_cost_usd IS NOT NULL OR d.max_tokens IS NOT NULL OR d.deadline IS NOT NULL)
   AND d.id = ANY (coalesce(%(directives)s::uuid[], ARRAY(
       SELECT id FROM makima.directive WHERE status = 'active' AND deadline IS NOT NULL AND deadline <= makima.now()
        UNION ALL
       SELECT id FROM makima.directive WHERE status = 'awaiting_approval' AND deadline <= makima.now())))
 GROUP BY d.id;

-- name: stop_tasks
-- Ask for the end of what runs, without its having failed: the steps run again when the directive goes on.
UPDATE makima.task t SET cancel_asked = %(reason)s, cancel_cause = 'stopped', version = t.version + 1
 WHERE t.directive_id = ANY (%(directives)s) AND t.cancel_asked IS NULL AND t.kind IN ({agent_kinds})
   AND t.status IN ({live_task})
RETURNING t.id, t.directive_id, t.attempt, t.kind, t.status;

-- name: pause
-- Directives that can't go on by themselves, each with the cause and the reason.
UPDATE makima.directive d SET status = 'paused', paused_for = u.cause::makima.pause_cause, pause_reason = u.reason, version = d.version + 1
  FROM unnest(%(directives)s::uuid[], %(causes)s::text[], %(reasons)s::text[]) AS u (id, cause, reason)
 WHERE d.id = u.id AND d.status IN ('active', 'idle', 'awaiting_approval')
RETURNING d.id, d.pause_reason;

-- name: settle_orders
-- The orders that these steps serve, as their steps stand now. Relies on step_order's key and step_order_by_order.
SELECT id, directive_id, status FROM makima.settle_orders(ARRAY(
    SELECT DISTINCT so.order_id FROM makima.step_order so WHERE so.step_id = ANY (%(steps)s)));

-- name: settle_these_orders
SELECT id, directive_id, status FROM makima.settle_orders(%(orders)s::uuid[]);

-- name: skip_dependents
-- Under `continue`: whatever depends on a failed step, however far, is skipped for the reason that stands beside it.
WITH RECURSIVE doomed AS (
    SELECT e.step_id, f.id AS failed, f.reason
      FROM unnest(%(steps)s::uuid[], %(reasons)s::text[]) AS f (id, reason)
      JOIN makima.step_dependency e ON e.depends_on = f.id
     UNION
    SELECT e.step_id, doomed.failed, doomed.reason FROM doomed JOIN makima.step_dependency e ON e.depends_on = doomed.step_id
)
UPDATE makima.step s
   SET status = 'skipped', skipped_for = doomed.failed, reason = doomed.reason, version = s.version + 1
  FROM (SELECT DISTINCT ON (step_id) step_id, failed, reason FROM doomed ORDER BY step_id) AS doomed
 WHERE s.id = doomed.step_id AND s.status NOT IN ({begun_step})
RETURNING s.id, s.directive_id, s.name, s.status, s.reason;

-- name: messages_delivered
-- What people told tasks has reached the agents, as the daemons that have the attempts say; a doubled word changes nothing.
UPDATE makima.task_message m SET delivered_at = makima.now(), delivered_as = u.how::makima.delivered_as
  FROM unnest(%(owners)s::text[], %(daemons)s::text[], %(tasks)s::uuid[], %(attempts)s::integer[], %(messages)s::uuid[],
              %(hows)s::text[]) AS u (owner, daemon, task, attempt, id, how)
  JOIN makima.task t ON t.id = u.task
  JOIN makima.owner o ON o.id = t.owner_id AND o.name = u.owner
  LEFT JOIN makima.attempt a ON a.task_id = u.task AND a.number = u.attempt
 WHERE m.id = u.id AND m.task_id = u.task AND m.delivered_at IS NULL AND coalesce(a.daemon, t.daemon, u.daemon) = u.daemon;

-- name: output
-- Keep the batches of output of those whose attempt it is (rule 14); a doubled one changes nothing. Comes back: the
-- others, `early` when the attempt is free to be theirs but not yet known as such. Relies on the primary keys.
WITH said AS (
    SELECT * FROM unnest(%(owners)s::text[], %(daemons)s::text[], %(tasks)s::uuid[], %(attempts)s::integer[],
                         %(firsts)s::integer[], %(lasts)s::integer[], %(events)s::jsonb[])
        AS u (owner, daemon, task, attempt, first, last, events)
), judged AS (
    SELECT said.*, t.id IS NOT NULL AND a.daemon IS NOT DISTINCT FROM said.daemon AS theirs,
           a.daemon IS NULL AND t.attempt = said.attempt AND t.status IN ({on_a_daemon})
           AND coalesce(t.daemon, said.daemon) = said.daemon AS early
      FROM said
      LEFT JOIN makima.task t ON t.id = said.task
           AND t.owner_id = (SELECT o.id FROM makima.owner o WHERE o.name = said.owner)
      LEFT JOIN makima.attempt a ON a.task_id = said.task AND a.number = said.attempt
), kept AS (
    INSERT INTO makima.task_output (task_id, attempt, first_seq, last_seq, events)
    SELECT task, attempt, first, last, events FROM judged WHERE theirs
        ON CONFLICT DO NOTHING
)
SELECT owner, daemon, task, attempt, coalesce(early, false) AS early FROM judged WHERE NOT theirs;

-- name: renew
-- Renew the leases of what daemons say they run; whatever of it isn't theirs any more comes back.
WITH held AS (
    SELECT u.*, (SELECT o.id FROM makima.owner o WHERE o.name = u.owner) AS owner_id
      FROM unnest(%(owners)s::text[], %(daemons)s::text[], %(tasks)s::uuid[], %(attempts)s::integer[])
           AS u (owner, daemon, task, attempt)
), renewed AS (
    UPDATE makima.task t SET lease_until = makima.now() + %(lease)s * interval '1 second'
      FROM held
     WHERE t.id = held.task AND t.attempt = held.attempt AND coalesce(t.daemon, held.daemon) = held.daemon
       AND t.owner_id = held.owner_id AND t.status IN ({on_a_daemon})
    RETURNING t.id, t.attempt, t.owner_id
)
SELECT held.owner, held.daemon, held.task, held.attempt FROM held
 WHERE NOT EXISTS (SELECT FROM renewed
                    WHERE renewed.id = held.task AND renewed.attempt = held.attempt AND renewed.owner_id = held.owner_id);

-- name: connect_daemons
-- Daemons said Hello. Only owners that exist count.
INSERT INTO makima.daemon AS d (owner_id, name, labels, agents, capacity, connected, draining, drains, refuses)
SELECT o.id, u.name, u.labels::text[], u.agents::text[], u.capacity, true, u.draining, u.drains, u.refuses
  FROM unnest(%(owners)s::text[], %(names)s::text[], %(labels)s::text[], %(agents)s::text[], %(capacities)s::integer[],
              %(drainings)s::boolean[], %(drains)s::boolean[], %(refusals)s::text[])
       AS u (owner, name, labels, agents, capacity, draining, drains, refuses)
  JOIN makima.owner o ON o.name = u.owner
    ON CONFLICT (owner_id, name) DO UPDATE
   SET labels = excluded.labels, agents = excluded.agents, capacity = excluded.capacity, connected = true,
       draining = excluded.draining, drains = excluded.drains, refuses = excluded.refuses, last_seen = makima.now(),
       connected_at = CASE WHEN d.connected THEN d.connected_at ELSE makima.now() END;

-- name: heard
-- Daemons that gave a sign of life: their last_seen, not at every beat; and those of them that count as gone, because
-- a Hello of theirs was lost on its way here.
WITH said AS (
    SELECT DISTINCT u.owner, u.name, (SELECT o.id FROM makima.owner o WHERE o.name = u.owner) AS owner_id
      FROM unnest(%(owners)s::text[], %(names)s::text[]) AS u (owner, name)
), seen AS (
    UPDATE makima.daemon d SET last_seen = makima.now()
      FROM said
     WHERE (d.owner_id, d.name) = (said.owner_id, said.name) AND d.connected
       AND d.last_seen < makima.now() - %(stale)s * interval '1 second'
)
SELECT said.owner, said.name FROM said
 WHERE NOT EXISTS (SELECT FROM makima.daemon d
                    WHERE (d.owner_id, d.name) = (said.owner_id, said.name) AND d.connected);

-- name: disconnect_unheard
-- Daemons that nobody said goodbye for, as when they died together with the broker: their slots are gone.
UPDATE makima.daemon SET connected = false
 WHERE connected AND last_seen < makima.now() - %(after)s * interval '1 second'
RETURNING name;

-- name: disconnect_daemons
-- Daemons that are gone: their slots are, too.
UPDATE makima.daemon d SET connected = false
  FROM unnest(%(owners)s::text[], %(names)s::text[]) AS u (owner, name)
  JOIN makima.owner o ON o.name = u.owner
 WHERE (d.owner_id, d.name) = (o.id, u.name) AND d.connected;

-- name: lost
-- Tasks whose lease ran out, or whose daemon may not connect any more since it got them, locked.
-- Relies on task_on_a_daemon and daemon_key_by_owner.
SELECT t.id FROM makima.task t
 WHERE t.status IN ({on_a_daemon})
   AND (t.lease_until < makima.now()
        OR (SELECT max(k.changed_at) FILTER (WHERE k.status = 'revoked') > t.dispatched_at
                   AND count(*) FILTER (WHERE k.status = 'accepted') = 0
              FROM makima.daemon_key k WHERE k.owner_id = t.owner_id AND k.name = t.daemon))
   FOR UPDATE SKIP LOCKED;

-- name: cancelled
-- Pending tasks that somebody wants cancelled. Relies on task_cancel_asked.
SELECT t.id, t.cancel_asked FROM makima.task t
 WHERE t.cancel_asked IS NOT NULL AND t.status = 'pending' AND (%(directives)s::uuid[] IS NULL OR t.directive_id = ANY (%(directives)s))
   FOR UPDATE SKIP LOCKED;

-- name: expire_questions
-- Questions that nobody answered in time get their default, or none. Relies on question_expires.
UPDATE makima.question q
   SET settled = CASE WHEN q.default_answer IS NULL THEN 'expired' ELSE 'default' END, answer = q.default_answer,
       settled_at = makima.now()
 WHERE q.settled IS NULL AND q.expires_at <= makima.now()
   AND (%(directives)s::uuid[] IS NULL OR q.directive_id = ANY (%(directives)s))
RETURNING q.id, q.directive_id, q.task_id, q.settled;

-- name: pause_asking
-- Running tasks whose agent waits for an answer: running -> paused. Relies on question_open.
UPDATE makima.task t SET status = 'paused', version = t.version + 1
  FROM makima.question q
 WHERE q.settled IS NULL AND t.id = q.task_id AND t.attempt = q.attempt AND t.status = 'running'
   AND (%(directives)s::uuid[] IS NULL OR q.directive_id = ANY (%(directives)s))
RETURNING t.id, t.directive_id, t.attempt, t.kind, t.daemon;

-- name: resume_answered
-- Paused tasks without an open question: paused -> running. Relies on task_on_a_daemon and question_open.
UPDATE makima.task t SET status = 'running', version = t.version + 1
 WHERE t.status = 'paused' AND (%(directives)s::uuid[] IS NULL OR t.directive_id = ANY (%(directives)s))
   AND NOT EXISTS (SELECT FROM makima.question q
                    WHERE q.directive_id = t.directive_id AND q.task_id = t.id AND q.attempt = t.attempt
                      AND q.settled IS NULL)
RETURNING t.id, t.directive_id, t.attempt, t.kind, t.daemon;

-- name: forget_output
-- A batch of output that is older than is kept; what a live task printed stays. Relies on task_output_by_age.
WITH old AS (
    SELECT o.task_id, o.attempt, o.first_seq FROM makima.task_output o
      JOIN makima.task t ON t.id = o.task_id AND t.status IN ({ended_task})
     WHERE o.at < makima.now() - %(days)s * interval '1 day'
     LIMIT %(most)s
), gone AS (
    DELETE FROM makima.task_output o USING old
     WHERE o.task_id = old.task_id AND o.attempt = old.attempt AND o.first_seq = old.first_seq
    RETURNING 1
)
SELECT count(*) AS deleted FROM gone;

-- name: forget_events
-- A batch of the audit log that is older than is kept, of directives that have ended. Relies on event_by_age.
WITH old AS (
    SELECT e.seq FROM makima.event e LEFT JOIN makima.directive d ON d.id = e.directive_id
     WHERE e.at < makima.now() - %(days)s * interval '1 day' AND (d.id IS NULL OR d.status IN ('completed', 'archived'))
     ORDER BY e.seq LIMIT %(most)s
), gone AS (
    DELETE FROM makima.event e USING old WHERE e.seq = old.seq RETURNING 1
)
SELECT count(*) AS deleted FROM gone;
