-- name: why_find
-- What an id is of.
SELECT 'directive' AS kind, d.id AS directive_id, d.title AS name, d.status::text
  FROM makima.directive d WHERE d.id = %(id)s AND d.owner_id = %(owner)s
UNION ALL
SELECT 'step', s.directive_id, s.name, s.status::text
  FROM makima.step s JOIN makima.directive d ON d.id = s.directive_id WHERE s.id = %(id)s AND d.owner_id = %(owner)s
UNION ALL
SELECT 'task', t.directive_id, t.name, t.status::text FROM makima.task t WHERE t.id = %(id)s AND t.owner_id = %(owner)s;

-- name: why_directive
-- A directive with what is due of it. Relies on plan_request_unserved, step_by_directive.
SELECT d.status, d.pause_reason, d.paused_for, d.awaited_plan, makima.awaiting_approval(d) AS awaited, d.on_failure, d.max_parallel,
       coalesce(d.pr_url, d.pr_branch) AS delivered_to, d.delivery_outcome,
       (SELECT right(t.result ->> 'output', 2000) FROM makima.task t
         WHERE t.directive_id = d.id AND t.kind = 'completion' ORDER BY t.id DESC LIMIT 1) AS delivery_output,
       (SELECT true FROM makima.undelivered_step u WHERE u.directive_id = d.id LIMIT 1) IS NOT NULL AS undelivered,
       ARRAY(SELECT r.reason FROM makima.plan_request r WHERE r.directive_id = d.id AND r.served_by IS NULL ORDER BY r.id) AS requests,
       makima.now() AS now
  FROM makima.directive d WHERE d.id = %(directive)s;

-- name: why_slots
-- Where an owner's tasks may run, which daemons take none, and what was spent where that is the limit. Relies on task_on_a_daemon.
SELECT coalesce(f.daemons, 0) AS daemons, coalesce(f.capacity, 0) AS capacity, coalesce(f.running, 0) AS running,
       f.max_running, coalesce(f.free, 0) AS free, w.drained, w.refusing, w.lost, s.spent_usd::float, s.max_usd::float
  FROM (SELECT coalesce(array_agg(d.name ORDER BY d.name)
                        FILTER (WHERE d.connected AND d.draining AND d.refuses IS NULL AND NOT c.surplus), '{}') AS drained,
               coalesce(array_agg(d.name || ': ' || coalesce(d.refuses, 'its owner may have no more than ' || c.max_daemons || ' daemons')
                                  ORDER BY d.name)
                        FILTER (WHERE c.surplus OR d.connected AND d.draining AND d.refuses IS NOT NULL), '{}') AS refusing,
               coalesce(array_agg(d.name ORDER BY d.name) FILTER (WHERE NOT d.connected), '{}') AS lost
          FROM makima.daemon d LEFT JOIN makima.connected_daemon c ON c.owner_id = d.owner_id AND c.name = d.name
         WHERE d.owner_id = %(owner)s) AS w
  LEFT JOIN makima.free_slots f ON f.owner_id = %(owner)s
  LEFT JOIN makima.spent_owner s ON s.owner_id = %(owner)s;

-- name: why_steps
-- Relies on step_by_directive.
SELECT s.id, s.name, s.status, s.order_index, s.held_by, s.removed_by, s.skipped_for, s.reason,
       CASE s.status WHEN 'failed' THEN (SELECT right(a.tail, 2000) FROM makima.attempt a
                                          WHERE a.task_id = s.task_id ORDER BY a.number DESC LIMIT 1) END AS tail,
       s.status = 'failed' AND (SELECT t.agent FROM makima.task t WHERE t.id = s.task_id) IS NOT DISTINCT FROM 'shell' AS scripted,
       ARRAY(SELECT e.depends_on FROM makima.step_dependency e WHERE e.step_id = s.id ORDER BY e.position) AS depends_on
  FROM makima.step s WHERE s.directive_id = %(directive)s ORDER BY s.order_index, s.id;

-- name: why_called
-- What a directive, its steps, and its live tasks are called, and their open questions by them (step_by_directive,
-- task_by_directive, question_open).
SELECT d.id, d.number::text AS called FROM makima.directive d WHERE d.id = %(directive)s
UNION ALL
SELECT s.id, d.number || '/' || s.number FROM makima.directive d JOIN makima.step s ON s.directive_id = d.id
 WHERE d.id = %(directive)s
UNION ALL
SELECT t.id, makima.called(t) FROM makima.task t
 WHERE t.directive_id = %(directive)s AND (t.id = %(also)s OR t.status IN ({live_task}))
UNION ALL
SELECT q.id, makima.called(t) FROM makima.question q JOIN makima.task t ON t.id = q.task_id
 WHERE q.directive_id = %(directive)s AND q.settled IS NULL;

-- name: why_tasks
-- The live tasks, and the one that is asked about. Relies on task_by_directive and question_open.
SELECT t.id, t.kind, t.name, t.status, t.attempt, t.step_id AS step, t.not_before, t.cancel_asked,
       CASE WHEN t.refused_attempt = t.attempt THEN t.waiting_reason END AS refused_for,
       CASE WHEN t.refused_attempt = t.attempt THEN t.refusal END AS refusal, coalesce(t.reason, a.reason) AS reason, right(a.tail, 2000) AS tail, t.daemon,
       q.id AS question
  FROM makima.task t
  LEFT JOIN LATERAL (SELECT q.id FROM makima.question q
                      WHERE q.directive_id = t.directive_id AND q.task_id = t.id AND q.attempt = t.attempt
                        AND q.settled IS NULL ORDER BY q.id LIMIT 1) AS q ON true
  LEFT JOIN LATERAL (SELECT a.reason, a.tail FROM makima.attempt a
                      WHERE a.task_id = t.id AND (a.number < t.attempt OR t.status = 'failed') ORDER BY a.number DESC LIMIT 1) AS a ON true
 WHERE t.directive_id = %(directive)s
   AND (t.id = %(also)s OR t.status IN ({live_task}))
 ORDER BY t.id;

-- name: inbox
-- All that waits for a person after an item, oldest first: questions, approvals, paused directives, what no daemon has
-- taken for a minute, and what is due while nothing may start at all (without a text). Relies on question_open,
-- directive_waits_for_a_person, directive_by_status, step_proposed, task_refused, task_by_directive, step_by_directive.
WITH able AS MATERIALIZED (
    SELECT EXISTS (SELECT FROM makima.able_daemon w WHERE w.owner_id = %(owner)s)
           AND NOT EXISTS (SELECT FROM makima.spent_owner s WHERE s.owner_id = %(owner)s) AS any
)
SELECT waiting.*, (SELECT d.number FROM makima.directive d WHERE d.id = waiting.directive_id) AS number,
       (SELECT s.number FROM makima.step s WHERE s.id = waiting.failed_step) AS failed_number,
       (SELECT t.agent FROM makima.step s JOIN makima.task t ON t.id = s.task_id WHERE s.id = waiting.failed_step)
       IS NOT DISTINCT FROM 'shell' AS scripted
  FROM (
SELECT 'question' AS kind, q.id, q.directive_id, d.title, q.text AS text, q.asked_at AS since,
       d.status, NULL AS paused_for, NULL::uuid AS failed_step, makima.called(t) AS task, q.options, NULL AS refusal, false AS undelivered,
       t.name AS asker, false AS awaits_plan
  FROM makima.question q
  JOIN makima.task t ON t.id = q.task_id AND t.attempt = q.attempt AND t.status IN ({on_a_daemon})
  JOIN makima.directive d ON d.id = q.directive_id
 WHERE q.settled IS NULL AND d.owner_id = %(owner)s
UNION ALL
SELECT CASE d.status WHEN 'paused' THEN 'paused' ELSE 'approval' END, d.id, d.id, d.title,
       d.pause_reason, d.status_at, d.status, d.paused_for,
       (SELECT s.id FROM makima.step s WHERE s.directive_id = d.id AND s.status = 'failed' ORDER BY s.order_index, s.id LIMIT 1),
       NULL, '{}', NULL, (SELECT true FROM makima.undelivered_step u WHERE u.directive_id = d.id LIMIT 1) IS NOT NULL,
       NULL, d.awaited_plan IS NOT NULL
  FROM makima.directive d
 WHERE d.owner_id = %(owner)s AND d.status IN ('paused', 'awaiting_approval')
UNION ALL
SELECT 'approval', d.id, d.id, d.title, NULL, d.status_at, d.status, NULL, NULL, NULL, '{}', NULL, false, NULL, false
  FROM makima.directive d
 WHERE d.owner_id = %(owner)s AND d.status = 'active' AND makima.awaiting_approval(d) <> '{}'
UNION ALL
SELECT 'waiting', t.id, t.directive_id, d.title, t.waiting_reason, t.refused_since,
       d.status, NULL, t.step_id, makima.called(t), '{}', t.refusal, false, NULL, false
  FROM makima.task t JOIN makima.directive d ON d.id = t.directive_id
 WHERE t.owner_id = %(owner)s AND t.status IN ({unstarted_task}) AND d.status IN ('active', 'idle')
   AND t.refused_attempt IS NOT NULL AND t.refused_attempt = t.attempt
   AND t.refused_since < makima.now() - interval '1 minute' AND (SELECT able.any FROM able)
UNION ALL
SELECT 'waiting', d.id, d.id, d.title, NULL, d.status_at, d.status, NULL, NULL, NULL, '{}', NULL, false, NULL, false
  FROM makima.directive d
 WHERE d.owner_id = %(owner)s AND d.status IN ('active', 'idle') AND NOT (SELECT able.any FROM able)
   AND makima.standing(d) = 'waiting'
) AS waiting
 WHERE %(after_id)s::uuid IS NULL OR (since, id) > (%(after_at)s::timestamptz, %(after_id)s::uuid)
 ORDER BY since, id LIMIT %(limit)s;
