-- name: overview
-- An owner's directives, live tasks, daemons and slots by status (directive_by_owner, the partial indexes of live tasks).
SELECT 'directives' AS what, status::text, count(*)::bigint AS many FROM makima.directive WHERE owner_id = %(owner)s GROUP BY status
UNION ALL
SELECT 'standings', makima.standing(d), count(*) FROM makima.directive d WHERE d.owner_id = %(owner)s GROUP BY 2
UNION ALL
SELECT 'tasks', 'pending', count(*) FROM makima.task WHERE owner_id = %(owner)s AND status = 'pending' HAVING count(*) > 0
UNION ALL
SELECT 'tasks', status::text, count(*) FROM makima.task
 WHERE owner_id = %(owner)s AND status IN ({on_a_daemon}) GROUP BY status
UNION ALL
SELECT 'daemons', CASE WHEN connected THEN 'connected' ELSE 'lost' END, count(*) FROM makima.daemon
 WHERE owner_id = %(owner)s GROUP BY 2
UNION ALL
SELECT 'slots', 'capacity', coalesce(sum(capacity), 0) FROM makima.daemon WHERE owner_id = %(owner)s AND connected;

-- name: counts
-- Everything that is counted for /metrics. What is open by partial indexes, directives and daemons by a scan of their
-- tables. A queue's age is that of its longest waiting entry, in seconds.
WITH live AS (
    SELECT kind, status, created_at, not_before, refused_attempt IS NOT DISTINCT FROM attempt AS refused FROM makima.task WHERE status = 'pending'
    UNION ALL
    SELECT kind, status, created_at, not_before, false FROM makima.task WHERE status IN ({on_a_daemon})
)
SELECT 'directives' AS what, ARRAY[status::text] AS labels, count(*)::float8 AS many FROM makima.directive GROUP BY status
UNION ALL
SELECT 'tasks', ARRAY[kind::text, status::text], count(*) FROM live GROUP BY kind, status
UNION ALL
SELECT 'steps', ARRAY[status::text], count(*) FROM makima.step WHERE status IN ({unsettled_step}) GROUP BY status
UNION ALL
SELECT 'queues', ARRAY['planner', 'plan_requests'], count(*) FROM makima.plan_request WHERE served_by IS NULL
UNION ALL
SELECT 'queues', ARRAY['executor', 'ready_steps'], count(*) FROM makima.step WHERE status = 'ready'
UNION ALL
SELECT 'queues', ARRAY['executor', 'pending_tasks'], count(*) FROM live WHERE status = 'pending' AND not_before <= makima.now() AND NOT refused
UNION ALL
SELECT 'queues', ARRAY['executor', 'delayed_tasks'], count(*) FROM live WHERE status = 'pending' AND not_before > makima.now() AND NOT refused
UNION ALL
SELECT 'queues', ARRAY['executor', 'refused_tasks'], count(*) FROM live WHERE status = 'pending' AND refused
UNION ALL
SELECT 'queues', ARRAY['monitor', 'open_questions'], count(*) FROM makima.question WHERE settled IS NULL
UNION ALL
SELECT 'queues', ARRAY['completer', 'unsettled_deliveries'], count(*) FROM makima.task
 WHERE kind NOT IN ({agent_kinds}) AND status = 'completed' AND NOT settled
UNION ALL
SELECT 'oldest', ARRAY['executor', 'pending_tasks'], coalesce(extract(epoch FROM makima.now() - min(created_at)), 0) FROM live WHERE status = 'pending'
UNION ALL
SELECT 'oldest', ARRAY['planner', 'plan_requests'], coalesce(extract(epoch FROM makima.now() - min(created_at)), 0)
  FROM makima.plan_request WHERE served_by IS NULL
UNION ALL
SELECT 'daemons', ARRAY[CASE WHEN connected THEN 'connected' ELSE 'lost' END], count(*) FROM makima.daemon GROUP BY connected
UNION ALL
SELECT 'slots', ARRAY['capacity'], coalesce(sum(capacity), 0) FROM makima.daemon WHERE connected
UNION ALL
SELECT 'slots', ARRAY['taken'], count(*) FROM live WHERE status <> 'pending';

-- name: read_only
SELECT current_setting('transaction_read_only') = 'on' AS read_only;
