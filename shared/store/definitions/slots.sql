-- Daemons that take work.
CREATE VIEW makima.able_daemon AS
SELECT w.owner_id, w.name, w.capacity FROM makima.daemon w WHERE w.connected AND NOT w.draining;

-- The only place that decides it: how many more tasks each owner's daemons may take, within what the owner allows, and of
-- what that comes. An owner without a daemon that takes work has no row. Relies on task_on_a_daemon.
CREATE VIEW makima.free_slots AS
SELECT w.owner_id, w.daemons, w.capacity, o.max_running, r.running,
       (least(w.capacity, o.max_running) - r.running)::integer AS free
  FROM (SELECT owner_id, count(*)::integer AS daemons, sum(capacity)::integer AS capacity
          FROM makima.able_daemon GROUP BY owner_id) AS w
  JOIN makima.owner o ON o.id = w.owner_id
 CROSS JOIN LATERAL (SELECT count(*)::integer AS running FROM makima.task t
                      WHERE t.owner_id = w.owner_id AND t.status IN ({on_a_daemon})) AS r;
