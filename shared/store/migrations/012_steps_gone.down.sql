DROP FUNCTION makima.enforce_plans(uuid[]);
DROP FUNCTION makima.withdraw_plans(uuid[]);

-- Rule 5, the only place of it: these planning tasks' steps come into force, what they remove goes, the generation
-- counts up, and a request to plan for a failure whose step is gone by this is served by it.
CREATE FUNCTION makima.enforce_plans(plans uuid[]) RETURNS TABLE (directive_id uuid, steps uuid[]) LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM makima.step WHERE removed_by = ANY (plans) AND status IN ('pending', 'ready', 'failed', 'skipped')
        RETURNING id
    ), moot AS (
        DELETE FROM makima.plan_request r USING gone
         WHERE r.served_by IS NULL AND r.reason = 'failure' AND r.payload ->> 'step' = gone.id::text
    ), force AS (
        UPDATE makima.step s SET held_by = NULL
         WHERE held_by = ANY (plans) AND (removed_by IS NULL OR removed_by <> ALL (plans)) RETURNING s.id, s.directive_id
    ), counted AS (
        UPDATE makima.directive d SET generation = d.generation + 1, version = d.version + 1, awaited_plan = NULL
          FROM makima.task t
         WHERE t.id = ANY (plans) AND d.id = t.directive_id
        RETURNING d.id
    )
    SELECT counted.id, coalesce((SELECT array_agg(force.id) FROM force WHERE force.directive_id = counted.id), '{}')
      FROM counted
$$;

-- Rule 5, the other way: these planning tasks' steps are withdrawn, and what they meant to remove stays.
CREATE FUNCTION makima.withdraw_plans(plans uuid[]) RETURNS void LANGUAGE sql AS $$
    WITH released AS (
        UPDATE makima.step SET removed_by = NULL
         WHERE removed_by = ANY (plans) AND (held_by IS NULL OR held_by <> ALL (plans))
    ), settled AS (
        UPDATE makima.directive SET awaited_plan = NULL WHERE awaited_plan = ANY (plans)
    )
    DELETE FROM makima.step WHERE held_by = ANY (plans)
$$;
