-- What a pull request tells of a directive.
CREATE VIEW makima.delivery_told AS
SELECT d.id, extract(epoch FROM makima.now() - d.created_at)::float AS seconds, cost.usd, cost.tokens, steps.all AS steps
  FROM makima.directive d
 CROSS JOIN LATERAL (SELECT coalesce(sum(t.cost_usd), 0)::float AS usd, coalesce(sum(t.tokens), 0)::bigint AS tokens
                       FROM makima.task t WHERE t.directive_id = d.id) AS cost
 CROSS JOIN LATERAL (SELECT jsonb_agg(jsonb_build_object(
                                'id', s.id, 'name', s.name, 'status', s.status, 'branch', s.branch, 'head', t.head,
                                'base', t.base_commit,
                                'commits', jsonb_path_query_array(t.commits, '$[last - 20 to last]'),
                                'outcome', left(s.outcome, 2000), 'reason', s.reason, 'delivered', s.delivered, 'round', s.round,
                                'description', left(s.description, 1000),
                                'tail', CASE s.status WHEN 'failed' THEN (
                                    SELECT right(a.tail, 2000) FROM makima.attempt a
                                     WHERE a.task_id = s.task_id ORDER BY a.number DESC LIMIT 1) END,
                                'branch_removed', s.branch_removed,
                                'orders', coalesce((
                                    SELECT jsonb_agg(jsonb_build_object('id', o.id, 'title', o.title))
                                      FROM makima.step_order so JOIN makima.work_order o ON o.id = so.order_id
                                     WHERE so.step_id = s.id AND so.held_by IS NULL AND o.status = 'done'), '[]'))
                                ORDER BY s.order_index, s.completed_at, s.id) AS all
                       FROM makima.step s LEFT JOIN makima.task t ON t.id = s.task_id
                      WHERE s.directive_id = d.id AND s.held_by IS NULL) AS steps;
