-- Orders as the steps that serve them stand: done, in progress, or open again; the ones that changed by it.
CREATE OR REPLACE FUNCTION makima.settle_orders(orders uuid[]) RETURNS TABLE (id uuid, directive_id uuid, status text)
LANGUAGE sql AS $$
    UPDATE makima.work_order o SET status = x.status, version = o.version + 1
      FROM (SELECT asked.id,
                   CASE WHEN count(s.id) > 0 AND bool_and(s.status = 'completed') THEN 'done'::makima.order_status
                        WHEN bool_or(s.status IN ({unfinished_step})) THEN 'in_progress'
                        ELSE 'open' END AS status
              FROM unnest(orders) AS asked (id)
              LEFT JOIN makima.step_order so ON so.order_id = asked.id AND so.held_by IS NULL
              LEFT JOIN makima.step s ON s.id = so.step_id AND s.held_by IS NULL
             GROUP BY asked.id) AS x
     WHERE o.id = x.id AND o.status NOT IN ('cancelled', x.status)
    RETURNING o.id, o.directive_id, o.status::text
$$;
