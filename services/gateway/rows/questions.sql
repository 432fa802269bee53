-- name: ask
INSERT INTO makima.question (id, task_id, attempt, directive_id, text, options, default_answer, expires_at)
VALUES (%(id)s, %(task)s, %(attempt)s, %(directive)s, %(text)s, %(options)s, %(default)s,
        makima.now() + %(timeout)s * interval '1 second');

-- name: question
-- A question, and whether anybody still waits for it.
SELECT q.id, makima.called(t) AS called, q.directive_id, d.title, q.task_id, t.name AS task_name, q.text, q.options, q.default_answer, q.expires_at,
       q.answer, q.settled, q.asked_at,
       q.settled IS NULL AND t.attempt = q.attempt AND t.status IN ({on_a_daemon}) AS open
  FROM makima.question q
  JOIN makima.task t ON t.id = q.task_id
  JOIN makima.directive d ON d.id = q.directive_id
 WHERE q.id = %(id)s AND d.owner_id = %(owner)s;

-- name: questions
-- The questions that wait for an answer, oldest first (question_open).
SELECT q.id, makima.called(t) AS called, q.directive_id, d.title, q.task_id, t.name AS task_name, q.text, q.options, q.default_answer, q.expires_at,
       q.answer, q.settled, q.asked_at, true AS open
  FROM makima.question q
  JOIN makima.task t ON t.id = q.task_id AND t.attempt = q.attempt AND t.status IN ({on_a_daemon})
  JOIN makima.directive d ON d.id = q.directive_id
 WHERE q.settled IS NULL AND d.owner_id = %(owner)s
   AND (%(after_id)s::uuid IS NULL OR (q.asked_at, q.id) > (%(after_at)s::timestamptz, %(after_id)s::uuid))
 ORDER BY q.asked_at, q.id LIMIT %(limit)s;

-- name: answer
UPDATE makima.question q SET answer = %(answer)s, settled = 'answered', settled_at = makima.now()
  FROM makima.task t
 WHERE q.id = %(id)s AND q.settled IS NULL AND t.id = q.task_id AND t.owner_id = %(owner)s
   AND t.attempt = q.attempt AND t.status IN ({on_a_daemon})
RETURNING q.id, q.task_id, q.directive_id;
