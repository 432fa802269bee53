-- name: due
-- Active directives with unserved plan requests and no live plan task (rule 3), each with what its prompt tells: the
-- requests, the goals before, the open orders when they are to be picked up. Where the planner's worktree starts is as
-- for a step without dependencies (rule 7). Relies on plan_request_unserved, task_one_live_planning,
-- goal_history_by_directive, work_order_by_directive, step_completed.
SELECT d.id, d.title, d.goal, d.repository_url, d.generation, d.version, d.max_parallel,
       coalesce(d.agent, %(agent)s::text) AS agent, requests.ids AS requests, requests.reasons, requests.payloads,
       coalesce(d.pr_branch, latest.branch) AS start_from,
       ARRAY(SELECT DISTINCT unnest(w.labels) FROM makima.daemon w WHERE w.owner_id = d.owner_id AND w.connected ORDER BY 1) AS labels,
       coalesce(goals.earlier, '[]') AS earlier_goals, coalesce(orders.open, '[]') AS orders
  FROM makima.directive d
 CROSS JOIN LATERAL (
       SELECT array_agg(r.id ORDER BY r.id) AS ids, array_agg(r.reason ORDER BY r.id) AS reasons,
              jsonb_agg(r.payload ORDER BY r.id) AS payloads
         FROM makima.plan_request r WHERE r.directive_id = d.id AND r.served_by IS NULL) AS requests
  LEFT JOIN LATERAL (
       SELECT c.branch FROM makima.step c
        WHERE c.directive_id = d.id AND c.status = 'completed' AND c.branch IS NOT NULL
        ORDER BY c.completed_at DESC LIMIT 1) AS latest ON true
  LEFT JOIN LATERAL (
       SELECT jsonb_agg(jsonb_build_object('text', h.goal, 'replaced_at', h.replaced_at) ORDER BY h.replaced_at DESC) AS earlier
         FROM (SELECT * FROM makima.goal_history g WHERE g.directive_id = d.id
                ORDER BY g.replaced_at DESC LIMIT 3) AS h) AS goals ON true
  LEFT JOIN LATERAL (
       SELECT jsonb_agg(jsonb_build_object('id', o.id, 'title', o.title, 'priority', o.priority,
                                           'order_type', o.order_type, 'description', left(o.description, 1500))
                        ORDER BY array_position(ARRAY['critical', 'high', 'medium', 'low', 'none'], o.priority), o.id) AS open
         FROM makima.work_order o
        WHERE o.directive_id = d.id AND o.status = 'open' AND 'orders' = ANY (requests.reasons)) AS orders ON true
 WHERE d.status = 'active'
   AND d.id = ANY (coalesce(%(directives)s::uuid[],
                            ARRAY(SELECT r.directive_id FROM makima.plan_request r WHERE r.served_by IS NULL)))
   AND requests.ids IS NOT NULL
   AND (SELECT true FROM makima.task t
         WHERE t.directive_id = d.id AND t.kind = 'plan'
           AND t.status IN ({live_task}) LIMIT 1) IS NULL;

-- name: steps
-- The steps in force of these directives, as a planner is told of them. Relies on step_by_directive.
SELECT s.directive_id, s.id, s.name, s.status, left(s.description, 1500) AS description, left(s.outcome, 1000) AS outcome,
       left(s.reason, 1000) AS reason, s.files_changed[1:40] AS files, cardinality(s.files_changed) AS all_files,
       coalesce((SELECT jsonb_path_query_array(t.commits, '$[last - 4 to last]')
                   FROM makima.task t WHERE t.id = s.task_id AND s.status = 'completed'), '[]') AS commits,
       CASE WHEN s.status IN ({removable_step})
            THEN ARRAY(SELECT o.id || ' ' || o.title FROM makima.step_order so JOIN makima.work_order o ON o.id = so.order_id
                        WHERE so.step_id = s.id AND o.status <> 'cancelled' ORDER BY o.id) ELSE '{}' END AS serves
  FROM makima.step s
 WHERE s.directive_id = ANY (%(directives)s) AND s.held_by IS NULL
 ORDER BY s.completed_at NULLS LAST, s.order_index, s.id;

-- name: plan
-- Insert the plan tasks (inserting the row is the claim) and let each serve the requests that it was told of. A directive
-- that changed since it was read is left alone: its change makes planning run again.
WITH due AS (
    SELECT *
      FROM unnest(%(ids)s::uuid[], %(directives)s::uuid[], %(versions)s::integer[], %(prompts)s::text[],
                  %(agents)s::text[], %(starts)s::text[])
           AS u (id, directive_id, version, prompt, agent, start_from)
), unchanged AS (
    SELECT due.*, d.owner_id FROM due JOIN makima.directive d ON d.id = due.directive_id
     WHERE d.status = 'active' AND d.version = due.version
       FOR NO KEY UPDATE OF d
), claimed AS (
    INSERT INTO makima.task (id, owner_id, directive_id, kind, name, prompt, agent, start_from)
    SELECT id, owner_id, directive_id, 'plan', 'plan', prompt, agent, start_from FROM unchanged
        ON CONFLICT DO NOTHING
    RETURNING id, directive_id
), served AS (
    UPDATE makima.plan_request r SET served_by = claimed.id
      FROM claimed
     WHERE r.directive_id = claimed.directive_id AND r.id = ANY (%(requests)s) AND r.served_by IS NULL
)
SELECT id, directive_id FROM claimed;
