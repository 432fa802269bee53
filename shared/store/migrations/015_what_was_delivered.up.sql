-- What a delivery has to know later: the commits that were delivered, so that only they are removed from a remote; what a
-- step was built on, so that a base branch that was rewritten is noticed; and what came of it, in words.

ALTER TABLE makima.directive ADD delivered_heads text[] NOT NULL DEFAULT '{}', ADD delivery_outcome text;
COMMENT ON COLUMN makima.directive.delivered_heads IS 'The commits that were delivered, the newest last.';
COMMENT ON COLUMN makima.directive.delivery_outcome IS 'What came of its newest delivery or look at its pull request.';

ALTER TABLE makima.task ADD base_commit text;
COMMENT ON COLUMN makima.task.base_commit IS 'The newest commit of the base branch that its work is built on.';

-- What a pull request tells of a directive.
CREATE VIEW makima.delivery_told AS
SELECT d.id, extract(epoch FROM makima.now() - d.created_at)::float AS seconds, cost.usd, cost.tokens, steps.all AS steps,
       coalesce((SELECT array_agg(o.priority || ': ' || o.title ORDER BY o.id) FROM makima.work_order o
                  WHERE o.directive_id = d.id AND o.status = 'done'), '{}') AS orders
  FROM makima.directive d
 CROSS JOIN LATERAL (SELECT coalesce(sum(t.cost_usd), 0)::float AS usd, coalesce(sum(t.tokens), 0)::bigint AS tokens
                       FROM makima.task t WHERE t.directive_id = d.id) AS cost
 CROSS JOIN LATERAL (SELECT jsonb_agg(jsonb_build_object(
                                'id', s.id, 'name', s.name, 'status', s.status, 'branch', s.branch, 'head', t.head,
                                'base', t.base_commit,
                                'commits', jsonb_path_query_array(t.commits, '$[last - 20 to last]'),
                                'outcome', left(s.outcome, 2000), 'reason', s.reason, 'delivered', s.delivered,
                                'branch_removed', s.branch_removed)
                                ORDER BY s.order_index, s.completed_at, s.id) AS all
                       FROM makima.step s LEFT JOIN makima.task t ON t.id = s.task_id
                      WHERE s.directive_id = d.id AND s.held_by IS NULL) AS steps;
