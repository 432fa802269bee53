DROP FUNCTION makima.awaiting_approval(makima.directive);
DROP INDEX makima.step_proposed;
ALTER TABLE makima.step DROP added_by;

CREATE OR REPLACE FUNCTION makima.enforce_plans(plans uuid[]) RETURNS TABLE (directive_id uuid, steps uuid[], gone uuid[])
LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM makima.step WHERE removed_by = ANY (plans) AND status IN ('pending', 'ready', 'failed', 'skipped')
        RETURNING id, step.directive_id
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
    SELECT counted.id, coalesce((SELECT array_agg(force.id) FROM force WHERE force.directive_id = counted.id), '{}'),
           coalesce((SELECT array_agg(gone.id) FROM gone WHERE gone.directive_id = counted.id), '{}')
      FROM counted
$$;
