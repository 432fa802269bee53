-- Rule 5, the only place of it: these tasks' steps and links of orders come into force, what they remove goes, a planning counts the
-- generation up, and a request to plan for a failure whose step is gone by this is served by it. An order that is left
-- without any step goes on with the new ones: with that of the old one's name, else with all of them. `orders`: those
-- that stand otherwise now.
CREATE OR REPLACE FUNCTION makima.enforce_plans(plans uuid[])
RETURNS TABLE (directive_id uuid, steps uuid[], gone uuid[], orders uuid[]) LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM makima.step WHERE removed_by = ANY (plans) AND status IN ({removable_step})
        RETURNING id, step.directive_id, step.name
    ), moot AS (
        DELETE FROM makima.plan_request r USING gone
         WHERE r.served_by IS NULL AND r.reason = 'failure' AND r.payload ->> 'step' = gone.id::text
    ), force AS (
        UPDATE makima.step s SET held_by = NULL
         WHERE held_by = ANY (plans) AND (removed_by IS NULL OR removed_by <> ALL (plans)) RETURNING s.id, s.directive_id, s.name
    ), served AS (
        SELECT so.order_id, g.directive_id, g.name FROM gone g JOIN makima.step_order so ON so.step_id = g.id
    ), bereft AS (
        SELECT v.* FROM served v
         WHERE NOT EXISTS (SELECT FROM makima.step_order so
                            WHERE so.order_id = v.order_id AND so.step_id NOT IN (SELECT g.id FROM gone g))
    ), passed_on AS (
        INSERT INTO makima.step_order (step_id, order_id)
        SELECT f.id, b.order_id FROM bereft b JOIN force f ON f.directive_id = b.directive_id
         WHERE f.name = b.name
            OR NOT EXISTS (SELECT FROM force same WHERE same.directive_id = b.directive_id AND same.name = b.name)
            ON CONFLICT DO NOTHING
    ), linked AS (
        UPDATE makima.step_order so SET held_by = NULL FROM makima.work_order o
         WHERE so.held_by = ANY (plans) AND o.id = so.order_id RETURNING so.order_id, o.directive_id
    ), counted AS (
        UPDATE makima.directive d
           SET generation = d.generation + ended.plannings, version = d.version + 1, awaited_plan = NULL
          FROM (SELECT t.directive_id, count(*) FILTER (WHERE t.kind = 'plan')::integer AS plannings
                  FROM makima.task t WHERE t.id = ANY (plans) GROUP BY t.directive_id) AS ended
         WHERE d.id = ended.directive_id
        RETURNING d.id
    )
    SELECT counted.id, coalesce((SELECT array_agg(force.id) FROM force WHERE force.directive_id = counted.id), '{}'),
           coalesce((SELECT array_agg(gone.id) FROM gone WHERE gone.directive_id = counted.id), '{}'),
           ARRAY(SELECT v.order_id FROM served v WHERE v.directive_id = counted.id
                  UNION SELECT l.order_id FROM linked l WHERE l.directive_id = counted.id
                  UNION SELECT so.order_id FROM force f JOIN makima.step_order so ON so.step_id = f.id
                         WHERE f.directive_id = counted.id)
      FROM counted
$$;

-- Rule 5, the other way: these tasks' steps and links are withdrawn, and what they meant to remove stays.
CREATE OR REPLACE FUNCTION makima.withdraw_plans(plans uuid[]) RETURNS TABLE (directive_id uuid, id uuid) LANGUAGE sql AS $$
    WITH released AS (
        UPDATE makima.step SET removed_by = NULL
         WHERE removed_by = ANY (plans) AND (held_by IS NULL OR held_by <> ALL (plans))
    ), unlinked AS (
        DELETE FROM makima.step_order WHERE held_by = ANY (plans)
    ), settled AS (
        UPDATE makima.directive SET awaited_plan = NULL WHERE awaited_plan = ANY (plans)
    )
    DELETE FROM makima.step s WHERE s.held_by = ANY (plans) RETURNING s.directive_id, s.id
$$;

-- Rule 5, for approval: the tasks whose steps and removals wait for a person's word. A planning's do once it has ended
-- well, any other task's from the start. Relies on step_proposed.
CREATE OR REPLACE FUNCTION makima.awaiting_approval(d makima.directive) RETURNS uuid[] LANGUAGE sql STABLE AS $$
    SELECT ARRAY(SELECT t.id FROM makima.task t
                  WHERE t.id IN (SELECT unnest(ARRAY[s.held_by, s.removed_by]) FROM makima.step s
                                  WHERE s.directive_id = d.id AND (s.held_by IS NOT NULL OR s.removed_by IS NOT NULL)
                                  UNION SELECT d.awaited_plan)
                    AND (t.kind <> 'plan' OR t.id = d.awaited_plan)
                  ORDER BY t.id)
$$;
