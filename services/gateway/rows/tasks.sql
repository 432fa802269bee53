-- name: tasks
-- The newest tasks before one, of a directive or of all.
SELECT t.id, makima.called(t) AS called, t.kind, t.name, t.status, t.attempt, t.agent, t.daemon, t.branch, t.reason, t.waiting_reason, t.step_id,
       t.directive_id, t.cost_usd::float, t.tokens, t.created_at, t.ended_at
  FROM makima.task t
 WHERE t.owner_id = %(owner)s AND (%(directive)s::uuid IS NULL OR t.directive_id = %(directive)s)
   AND (%(before)s::uuid IS NULL OR t.id < %(before)s) AND (%(status)s::text IS NULL OR t.status::text = %(status)s)
 ORDER BY t.id DESC LIMIT %(limit)s;

-- name: task
SELECT t.id, makima.called(t) AS called, t.kind, t.name, t.status, t.attempt, t.agent, t.daemon, t.branch, t.reason, t.waiting_reason, t.step_id,
       t.directive_id, t.cost_usd::float, t.tokens, t.created_at, t.ended_at, t.prompt, t.outcome, t.commits,
       s.model, coalesce(s.labels, '{}') AS labels
  FROM makima.task t LEFT JOIN makima.step s ON s.id = t.step_id WHERE t.id = %(task)s AND t.owner_id = %(owner)s;

-- name: attempts
SELECT a.number, a.daemon, a.agent, a.session, a.branch, a.started_at, a.ended_at, a.outcome, a.reason, a.exit_code,
       a.cost_usd::float, a.tokens
  FROM makima.attempt a WHERE a.task_id = %(task)s ORDER BY a.number;

-- name: output
SELECT o.attempt, o.first_seq, o.events FROM makima.task_output o
  JOIN makima.task t ON t.id = o.task_id
 WHERE o.task_id = %(task)s AND t.owner_id = %(owner)s
   AND (o.attempt, o.first_seq) > (%(after_attempt)s, %(after_seq)s)
 ORDER BY o.attempt, o.first_seq LIMIT %(limit)s;

-- name: cancel
UPDATE makima.task SET cancel_asked = %(reason)s, version = version + 1
 WHERE id = %(task)s AND owner_id = %(owner)s AND status IN ({live_task})
RETURNING directive_id, attempt, kind, status;

-- name: tell
-- Keep a person's words for a task that hasn't ended, until they reach its agent.
WITH told AS (
    SELECT t.* FROM makima.task t
     WHERE t.id = %(task)s AND t.owner_id = %(owner)s AND t.status IN ({live_task})
       FOR SHARE
), kept AS (
    INSERT INTO makima.task_message (id, task_id, text) SELECT %(id)s, told.id, %(text)s FROM told
)
SELECT directive_id, attempt, kind, status FROM told;

-- name: give_up
-- The live attempt's agent says that it can't do its task.
UPDATE makima.task SET gave_up = %(reason)s, version = version + 1
 WHERE id = %(task)s AND attempt = %(attempt)s AND status IN ({on_a_daemon})
RETURNING id;
