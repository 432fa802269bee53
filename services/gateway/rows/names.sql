-- name: directive_by_number
-- Relies on directive_by_number.
SELECT d.id, d.id AS directive_id, d.number::text AS label, d.title AS name
  FROM makima.directive d WHERE d.owner_id = %(owner)s AND d.number = %(number)s;

-- name: directives_called
-- Of an owner's, those whose title this is (directive_by_owner).
SELECT d.id, d.id AS directive_id, d.number::text AS label, d.title AS name
  FROM makima.directive d WHERE d.owner_id = %(owner)s AND d.title = %(name)s ORDER BY d.id DESC LIMIT 10;

-- name: directives_between
SELECT d.id, d.id AS directive_id, d.number::text AS label, d.title AS name
  FROM makima.directive d
 WHERE d.id BETWEEN %(first)s AND %(last)s AND d.owner_id = %(owner)s ORDER BY d.id LIMIT 10;

-- name: steps_called
-- Of a directive, those of this number or name (step_by_directive).
SELECT s.id, s.directive_id, d.number || '/' || s.number AS label, s.name
  FROM makima.directive d JOIN makima.step s ON s.directive_id = d.id
 WHERE d.id = %(directive)s AND (s.number = %(number)s OR s.name = %(name)s) ORDER BY s.id LIMIT 10;

-- name: steps_between
SELECT s.id, s.directive_id, d.number || '/' || s.number AS label, s.name
  FROM makima.step s JOIN makima.directive d ON d.id = s.directive_id
 WHERE s.id BETWEEN %(first)s AND %(last)s AND d.owner_id = %(owner)s ORDER BY s.id LIMIT 10;

-- name: tasks_of
-- The tasks of a step, or of a kind in a directive without a step, in their order (task_by_directive).
SELECT t.id, t.directive_id, makima.called(t) AS label, t.name
  FROM makima.task t
 WHERE t.directive_id = %(directive)s AND t.kind::text = %(kind)s
   AND t.step_id IS NOT DISTINCT FROM %(step)s::uuid ORDER BY t.id LIMIT 1000;

-- name: tasks_between
SELECT t.id, t.directive_id, makima.called(t) AS label, t.name
  FROM makima.task t WHERE t.id BETWEEN %(first)s AND %(last)s AND t.owner_id = %(owner)s ORDER BY t.id LIMIT 10;

-- name: questions_of
-- The open questions of some tasks (question_open).
SELECT q.id, q.directive_id, makima.called(t) AS label, q.text AS name
  FROM makima.question q JOIN makima.task t ON t.id = q.task_id AND t.attempt = q.attempt
 WHERE q.settled IS NULL AND q.directive_id = %(directive)s AND (%(task)s::uuid IS NULL OR q.task_id = %(task)s) ORDER BY q.id LIMIT 10;

-- name: questions_between
SELECT q.id, q.directive_id, 'question' AS label, q.text AS name
  FROM makima.question q JOIN makima.directive d ON d.id = q.directive_id
 WHERE q.id BETWEEN %(first)s AND %(last)s AND d.owner_id = %(owner)s ORDER BY q.id LIMIT 10;

-- name: orders_called
-- Orders by their number, their title, or the beginning of their id (work_order_by_owner).
SELECT o.id, o.directive_id, o.number::text AS label, o.title AS name
  FROM makima.work_order o
 WHERE o.owner_id = %(owner)s
   AND (o.number = %(number)s OR o.id BETWEEN %(first)s AND %(last)s OR o.title = %(name)s)
 ORDER BY o.number IS DISTINCT FROM %(number)s, o.id LIMIT 10;
