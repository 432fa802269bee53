-- What a task is called: 12/3 is the newest of a step, 12/plan, 12/delivery and 12/verification the newest of their kind
-- in directive 12; an earlier one has its place among them behind it: 12/3.1. Relies on task_one_live_a_step,
-- task_by_directive.
CREATE OR REPLACE FUNCTION makima.called(t makima.task) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    directive integer := (SELECT d.number FROM makima.directive d WHERE d.id = t.directive_id);
    what text := CASE t.kind WHEN 'completion' THEN 'delivery' ELSE t.kind::text END;
    newest uuid;
    place bigint;
BEGIN
    IF t.step_id IS NOT NULL AND t.kind = 'step' THEN
        SELECT s.number::text, coalesce((SELECT l.id FROM makima.task l
                                          WHERE l.step_id = s.id AND l.kind = 'step' AND l.status IN ({live_task})), s.task_id)
          INTO what, newest FROM makima.step s WHERE s.id = t.step_id;
    END IF;
    IF newest = t.id THEN
        RETURN directive || '/' || what;
    END IF;
    SELECT count(*) FILTER (WHERE o.id <= t.id), max(o.id::text)::uuid INTO place, newest
      FROM makima.task o
     WHERE o.directive_id = t.directive_id AND o.kind = t.kind AND o.step_id IS NOT DISTINCT FROM t.step_id;
    RETURN directive || '/' || coalesce(what, 'step') || CASE WHEN newest = t.id THEN '' ELSE '.' || place END;
END
$$;
