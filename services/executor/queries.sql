-- name: due_steps
-- Ready steps of active directives without a live task (rule 6), within each directive's max_parallel and each
-- owner's free slots, the directive with the fewest tasks running first (rule 19), with all that decides where they
-- start (rule 7). Relies on step_completed, and on what ready_turn does.
WITH turns AS MATERIALIZED (
    SELECT * FROM makima.ready_turn
), placed AS (
    SELECT t.*, row_number() OVER (PARTITION BY t.owner_id ORDER BY t.running + t.turn, t.order_index, t.step_id) AS place
      FROM turns t WHERE t.step_id IS NOT NULL
), due AS (
    SELECT s.*, p.owner_id, o.name AS owner, d.title, d.repository_url, coalesce(d.pr_state = 'merged', false) AS merged,
           CASE WHEN d.pr_state = 'merged' THEN NULL ELSE d.pr_branch END AS pr_branch, d.base_branch, d.check_command,
           d.generation = 0 AS unplanned, coalesce(s.agent, d.agent) AS worker, p.free, p.parallel
      FROM placed p
      JOIN makima.step s ON s.id = p.step_id
      JOIN makima.directive d ON d.id = p.directive_id
      JOIN makima.owner o ON o.id = p.owner_id
     WHERE p.place <= p.free
)
SELECT due.id AS step_id, due.directive_id, due.owner_id, due.owner, due.title, due.name, due.description, due.task_plan,
       due.pr_branch, due.repository_url, due.base_branch, due.check_command, due.unplanned, due.worker AS agent, due.model, due.labels,
       due.free, due.parallel,
       (SELECT true FROM turns t WHERE t.parallel <= 0 OR t.free <= 0 LIMIT 1) IS NOT NULL AS others_wait,
       coalesce(dependencies.branches, '{}') AS branches, dependencies.daemon, latest.branch AS last_completed,
       coalesce(dependencies.handed_on, '[]'::json) AS handed_on, dependencies.count AS dependencies,
       failed.reason AS failed_reason, failed.tail AS failed_tail
  FROM due
  LEFT JOIN LATERAL (
       SELECT array_agg(x.branch) FILTER (WHERE x.branch IS NOT NULL AND NOT x.branch_removed) AS branches,
              (array_agg(x.daemon))[1] AS daemon, count(*)::integer AS count,
              json_agg(json_build_object('name', x.name, 'branch', x.branch, 'head', x.head, 'outcome', x.outcome,
                                         'files', x.files)) FILTER (WHERE x.position < 20) AS handed_on
         FROM (SELECT e.position, s.name, s.branch, s.branch_removed, s.head, left(s.outcome, 2000) AS outcome,
                      s.files_changed[1:60] AS files, t.daemon
                 FROM makima.step_dependency e
                 JOIN makima.step s ON s.id = e.depends_on
                 LEFT JOIN makima.task t ON t.id = s.task_id
                WHERE e.step_id = due.id ORDER BY e.position) AS x) AS dependencies ON true
  LEFT JOIN LATERAL (
       SELECT c.branch FROM makima.step c
        WHERE c.directive_id = due.directive_id AND c.status = 'completed' AND c.branch IS NOT NULL
          AND NOT c.branch_removed AND NOT (c.delivered AND due.merged)
        ORDER BY c.completed_at DESC LIMIT 1) AS latest ON true
  LEFT JOIN LATERAL (
       SELECT a.reason, a.tail FROM makima.attempt a
        WHERE a.task_id = due.task_id AND a.outcome = 'failed'
        ORDER BY a.number DESC LIMIT 1) AS failed ON true;

-- name: claim_steps
-- Insert the tasks of ready steps, starting at once, each with its entry in the audit log. Inserting the row is the claim:
-- who comes second inserts nothing.
WITH chosen AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(tasks)s::jsonb)
        AS u (id uuid, owner_id uuid, directive_id uuid, step_id uuid, name text, prompt text, agent text, start_from text,
              merge_branches text[], entry jsonb)
), claimed AS (
    INSERT INTO makima.task (id, owner_id, directive_id, step_id, kind, name, prompt, agent, status,
                             start_from, merge_branches, lease_until, dispatched_at)
    SELECT u.id, u.owner_id, u.directive_id, u.step_id, 'step', u.name, u.prompt, u.agent, 'starting', u.start_from,
           u.merge_branches, (SELECT makima.now()) + %(lease)s::float * interval '1 second', (SELECT makima.now())
      FROM chosen u
     WHERE (SELECT s.status FROM makima.step s WHERE s.id = u.step_id) = 'ready'
       AND (SELECT d.status FROM makima.directive d WHERE d.id = u.directive_id) = 'active'
        ON CONFLICT DO NOTHING
    RETURNING id
), logged AS (
    INSERT INTO makima.event (type, directive_id, body)
    SELECT u.entry ->> 'type', u.directive_id, u.entry FROM chosen u WHERE u.id IN (SELECT claimed.id FROM claimed)
)
SELECT id FROM claimed;

-- name: claim_pending
-- Tasks that wait and may go now, within the owner's free slots: pending -> starting. Plans, retries, deliveries. Ready
-- steps have their turns among them (rule 19), and are left their slots. One that a report holds for a moment is waited
-- for: passed over, it would be seen by the next sweep only. Relies on task_pending and task_on_a_daemon.
WITH slots AS MATERIALIZED (
    SELECT owner_id, free FROM makima.free_slots WHERE free > 0
), may_go AS MATERIALIZED (
    SELECT t.id, t.owner_id, t.directive_id, slots.free, t.not_before,
           row_number() OVER (PARTITION BY t.directive_id ORDER BY t.not_before, t.id) AS turn
      FROM makima.task t
      JOIN slots ON slots.owner_id = t.owner_id
      JOIN makima.directive d ON d.id = t.directive_id
     WHERE t.status = 'pending' AND t.not_before <= (SELECT makima.now()) AND t.cancel_asked IS NULL
       AND (d.status = 'active' OR d.status = 'idle' AND t.kind IN ({delivery_kinds}))
), directives AS MATERIALIZED (
    SELECT m.directive_id, count(*) AS waiting,
           (SELECT count(*) FROM makima.task t
             WHERE t.owner_id = m.owner_id AND t.directive_id = m.directive_id AND t.status IN ({on_a_daemon})) AS running
      FROM may_go m GROUP BY m.owner_id, m.directive_id
), waiting AS (
    SELECT x.*, row_number() OVER (PARTITION BY x.owner_id ORDER BY x.running + x.turn, x.not_before, x.order_index, x.id) AS place
      FROM (SELECT m.id, true AS is_task, m.owner_id, m.free, d.running, m.turn, m.not_before, NULL::integer AS order_index
              FROM may_go m JOIN directives d ON d.directive_id = m.directive_id
             UNION ALL
            SELECT r.step_id, false, r.owner_id, r.free, r.running, r.turn + coalesce(d.waiting, 0), NULL, r.order_index
              FROM makima.ready_turn r LEFT JOIN directives d ON d.directive_id = r.directive_id
             WHERE r.step_id IS NOT NULL AND r.turn + coalesce(d.waiting, 0) <= r.parallel) AS x
), chosen AS (
    SELECT t.id FROM makima.task t JOIN waiting w ON w.is_task AND w.id = t.id AND w.place <= w.free
     WHERE t.status = 'pending'
     ORDER BY t.id
       FOR UPDATE OF t
), claimed AS (
    UPDATE makima.task t
       SET status = 'starting', dispatched_at = (SELECT makima.now()), version = t.version + 1,
           waiting_reason = CASE WHEN t.refused_attempt = t.attempt THEN t.waiting_reason END,
           lease_until = (SELECT makima.now()) + %(lease)s::float * interval '1 second'
      FROM chosen
     WHERE t.id = chosen.id
    RETURNING t.id, coalesce(t.refused_attempt = t.attempt, false) AS asked_again
)
SELECT w.*, claimed.asked_again FROM claimed JOIN makima.task_to_send w ON w.id = claimed.id;

-- name: pending
-- Whether tasks wait that may go now, once there is a slot. Relies on task_pending.
SELECT EXISTS (SELECT FROM makima.task t
                WHERE t.status = 'pending' AND t.not_before <= (SELECT makima.now()) AND t.cancel_asked IS NULL) AS pending;

-- name: unaccepted
-- Dispatched a while ago, and no daemon has said that it has it: sent again, the same attempt. Relies on task_on_a_daemon.
WITH again AS (
    UPDATE makima.task t SET dispatched_at = makima.now()
     WHERE t.status = 'starting' AND t.daemon IS NULL
       AND t.dispatched_at < makima.now() - %(after)s::float * interval '1 second'
    RETURNING t.id
)
SELECT w.*, true AS asked_again FROM again JOIN makima.task_to_send w ON w.id = again.id;

-- name: next_look
-- Seconds until the next task that backs off may go, the next one is unaccepted for too long, or an owner that has spent
-- what it may today may spend again.
-- Relies on task_pending and task_on_a_daemon.
SELECT extract(epoch FROM min(due.at) - makima.now())::float AS seconds
  FROM (SELECT min(t.not_before) FROM makima.task t WHERE t.status = 'pending' AND t.not_before > makima.now()
         UNION ALL
        SELECT min(t.dispatched_at) + %(after)s::float * interval '1 second'
          FROM makima.task t WHERE t.status = 'starting' AND t.daemon IS NULL
         UNION ALL
        SELECT date_trunc('day', makima.now(), 'UTC') + interval '1 day'
          FROM makima.spent_owner) AS due (at);

-- name: put_back
-- Unroutable: starting -> pending, with the reason, unless the attempt has moved on meanwhile. The longer it has been
-- refused for this reason, the later it is asked again. `changed`: the reason is another than the last time.
UPDATE makima.task t
   SET status = 'pending', waiting_reason = u.reason, refusal = u.refusal, lease_until = NULL, version = t.version + 1,
       refused_attempt = t.attempt, refused_since = u.since,
       not_before = makima.now() + least(greatest(extract(epoch FROM makima.now() - u.since), %(first)s::float), %(longest)s::float)
                                   * interval '1 second'
  FROM (SELECT n.id, n.attempt, n.refusal, n.reason,
               CASE WHEN o.refused_attempt = n.attempt AND o.refusal = n.refusal THEN o.refused_since
                    ELSE makima.now() END AS since
          FROM unnest(%(tasks)s::uuid[], %(attempts)s::integer[], %(refusals)s::text[], %(reasons)s::text[])
               AS n (id, attempt, refusal, reason)
          JOIN makima.task o ON o.id = n.id) AS u
 WHERE t.id = u.id AND t.attempt = u.attempt AND t.status = 'starting'
RETURNING t.id, t.directive_id, t.attempt, t.kind, t.waiting_reason, t.refused_since = makima.now() AS changed;

-- name: recall
-- A slot or a daemon came: what was refused for want of one may be asked for now, but none more often than every
-- `apart` seconds. All that are refused, with the seconds until they may go. Relies on task_refused.
UPDATE makima.task t
   SET not_before = least(t.not_before, greatest(makima.now(), t.dispatched_at + %(apart)s::float * interval '1 second'))
  FROM (SELECT r.id FROM makima.task r
         WHERE r.status = 'pending' AND r.refused_attempt IS NOT NULL AND r.refused_attempt = r.attempt
           AND r.refusal IS DISTINCT FROM 'too_large'
           FOR UPDATE SKIP LOCKED) AS refused
 WHERE t.id = refused.id
RETURNING extract(epoch FROM t.not_before - makima.now())::float AS seconds;

-- name: cancels
-- Tasks on a daemon that somebody wants cancelled. Relies on task_cancel_asked.
SELECT t.id, t.attempt, o.name AS owner, t.cancel_asked
  FROM makima.task t
  JOIN makima.owner o ON o.id = t.owner_id
 WHERE t.cancel_asked IS NOT NULL AND t.status IN ({on_a_daemon});

-- name: messages
-- What people told running tasks, and hasn't reached the agent. Relies on task_message_undelivered.
SELECT m.id, m.task_id, o.name AS owner, m.text, t.attempt
  FROM makima.task_message m
  JOIN makima.task t ON t.id = m.task_id AND t.status IN ({begun_task})
  JOIN makima.owner o ON o.id = t.owner_id
 WHERE m.delivered_at IS NULL
 ORDER BY m.id;

-- name: drains
-- Connected daemons that are to be otherwise than they are: as a person wants, or since their owner may not have so many.
SELECT o.name AS owner, d.name, d.drain_asked OR d.surplus AS drain_asked
  FROM makima.connected_daemon d JOIN makima.owner o ON o.id = d.owner_id
 WHERE (d.drain_asked OR d.surplus) <> d.drains;
