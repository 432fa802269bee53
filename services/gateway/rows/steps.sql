-- name: step_names
SELECT id, name, status, md5(task_plan) AS plan FROM makima.step WHERE directive_id = %(id)s AND removed_by IS NULL;

-- name: add_steps
-- A whole batch of steps in one statement.
INSERT INTO makima.step (id, directive_id, name, description, task_plan, files, order_index, generation, agent, model, labels,
                         held_by, added_by)
SELECT u.id, %(directive)s, u.name, u.description, u.task_plan, u.files::text[], u.order_index, u.generation, u.agent, u.model,
       u.labels::text[], %(held_by)s, %(added_by)s
  FROM unnest(%(ids)s::uuid[], %(names)s::text[], %(descriptions)s::text[], %(task_plans)s::text[], %(files)s::text[],
              %(order_indexes)s::integer[], %(generations)s::integer[], %(agents)s::text[], %(models)s::text[], %(labels)s::text[])
       AS u (id, name, description, task_plan, files, order_index, generation, agent, model, labels);

-- name: offers
-- What the owner's connected daemons offer, a row each.
SELECT d.agents, d.labels FROM makima.daemon d WHERE d.owner_id = %(owner)s AND d.connected;

-- name: edit_step
-- What a step asks for, changed while nothing of it runs; its texts, while nothing waits to run with the old ones, either.
-- Relies on task_one_live_a_step.
UPDATE makima.step s
   SET name = %(name)s, description = %(description)s, task_plan = %(task_plan)s, files = %(files)s, agent = %(agent)s,
       model = %(model)s, labels = %(labels)s, version = s.version + 1
 WHERE s.id = %(step)s AND s.directive_id = %(directive)s AND s.status IN ({skippable_step})
   AND s.held_by IS NULL AND s.removed_by IS NULL
   AND NOT EXISTS (SELECT FROM makima.task t
                    WHERE t.step_id = s.id AND t.kind = 'step' AND t.status IN ({live_task})
                      AND (t.status <> 'pending' OR t.session IS NOT NULL OR %(texts)s))
RETURNING s.id, s.name, s.status;

-- name: step_as_it_is
SELECT name, description, task_plan, files, agent, model, labels, status
  FROM makima.step WHERE id = %(step)s AND directive_id = %(directive)s;

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
     WHERE id = %(step)s AND directive_id = %(directive)s AND status IN ({removable_step})
       AND NOT EXISTS (SELECT FROM makima.task t WHERE t.step_id = makima.step.id AND t.status IN ({on_a_daemon}))
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
 WHERE e.depends_on = %(step)s AND s.removed_by IS NULL AND s.status NOT IN ({begun_step})
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
   SET status = CASE WHEN id = %(step)s THEN 'skipped' ELSE 'pending'::makima.step_status END, skipped_for = NULL, version = version + 1,
       reason = CASE WHEN id = %(step)s THEN %(reason)s::text END
 WHERE directive_id = %(directive)s
   AND (id = %(step)s AND status IN ({skippable_step}) AND NOT EXISTS (
            SELECT FROM makima.task t
             WHERE t.step_id = %(step)s AND t.kind = 'step' AND t.status IN ({live_task}))
        OR skipped_for = %(step)s AND status = 'skipped')
RETURNING id, name, status;

-- name: find_step
SELECT s.id, s.name, s.status, s.directive_id FROM makima.step s
  JOIN makima.directive d ON d.id = s.directive_id AND d.owner_id = %(owner)s
 WHERE s.id = %(step)s;

-- name: failed_steps
SELECT count(*)::integer AS failed FROM makima.step WHERE directive_id = %(directive)s AND status = 'failed';

-- name: called_steps
-- What some steps of a directive are called.
SELECT s.id, d.number || '/' || s.number AS called
  FROM makima.step s JOIN makima.directive d ON d.id = s.directive_id WHERE s.id = ANY (%(steps)s);
