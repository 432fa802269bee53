-- name: overview
-- An owner's directives, live tasks, daemons and slots by status (directive_by_owner, the partial indexes of live tasks).
SELECT 'directives' AS what, status::text, count(*)::bigint AS many FROM makima.directive WHERE owner_id = %(owner)s GROUP BY status
UNION ALL
SELECT 'tasks', 'pending', count(*) FROM makima.task WHERE owner_id = %(owner)s AND status = 'pending' HAVING count(*) > 0
UNION ALL
SELECT 'tasks', status::text, count(*) FROM makima.task
 WHERE owner_id = %(owner)s AND status IN ('starting', 'running', 'paused') GROUP BY status
UNION ALL
SELECT 'daemons', CASE WHEN connected THEN 'connected' ELSE 'lost' END, count(*) FROM makima.daemon
 WHERE owner_id = %(owner)s GROUP BY 2
UNION ALL
SELECT 'slots', 'capacity', coalesce(sum(capacity), 0) FROM makima.daemon WHERE owner_id = %(owner)s AND connected;

-- name: counts
-- Everything that is counted for /metrics. The open ones by their partial indexes, directives by a scan of their table.
SELECT 'directives' AS what, status::text, count(*)::bigint AS many FROM makima.directive GROUP BY status
UNION ALL
SELECT 'tasks', 'pending', count(*) FROM makima.task WHERE status = 'pending' HAVING count(*) > 0
UNION ALL
SELECT 'tasks', status::text, count(*) FROM makima.task WHERE status IN ('starting', 'running', 'paused') GROUP BY status
UNION ALL
SELECT 'daemons', CASE WHEN connected THEN 'connected' ELSE 'lost' END, count(*) FROM makima.daemon GROUP BY 2
UNION ALL
SELECT 'slots', 'capacity', coalesce(sum(capacity), 0) FROM makima.daemon WHERE connected;

-- name: read_only
SELECT current_setting('transaction_read_only') = 'on' AS read_only;
