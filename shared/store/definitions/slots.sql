-- Connected daemons. `surplus`: its owner may not have so many, and it is none of the first to connect.
CREATE VIEW makima.connected_daemon AS
SELECT w.owner_id, w.name, w.capacity, w.draining, w.drain_asked, w.drains, o.max_daemons,
       coalesce(row_number() OVER (PARTITION BY w.owner_id ORDER BY w.connected_at, w.name) > o.max_daemons, false) AS surplus
  FROM makima.daemon w JOIN makima.owner o ON o.id = w.owner_id
 WHERE w.connected;

-- Daemons that take work.
CREATE VIEW makima.able_daemon AS
SELECT w.owner_id, w.name, w.capacity FROM makima.connected_daemon w WHERE NOT w.draining AND NOT w.surplus;

-- Owners that have spent today (UTC) what they may a day. Relies on the primary key of owner_spending.
CREATE VIEW makima.spent_owner AS
SELECT o.id AS owner_id, s.cost_usd AS spent_usd, o.max_cost_usd_a_day AS max_usd
  FROM makima.owner o
  JOIN makima.owner_spending s ON s.owner_id = o.id AND s.day = (makima.now() AT TIME ZONE 'UTC')::date
 WHERE s.cost_usd >= o.max_cost_usd_a_day;

-- The only place that decides it: how many more tasks each owner's daemons may take, within what the owner allows, and of
-- what that comes. An owner without a daemon that takes work has no row. Relies on task_on_a_daemon.
CREATE VIEW makima.free_slots AS
SELECT w.owner_id, w.daemons, w.capacity, o.max_running, r.running,
       CASE WHEN o.max_cost_usd_a_day IS NOT NULL
                 AND EXISTS (SELECT FROM makima.spent_owner s WHERE s.owner_id = o.id) THEN 0
            ELSE (least(w.capacity, o.max_running) - r.running)::integer END AS free
  FROM (SELECT owner_id, count(*)::integer AS daemons, sum(capacity)::integer AS capacity
          FROM makima.able_daemon GROUP BY owner_id) AS w
  JOIN makima.owner o ON o.id = w.owner_id
 CROSS JOIN LATERAL (SELECT count(*)::integer AS running FROM makima.task t
                      WHERE t.owner_id = w.owner_id AND t.status IN ({on_a_daemon})) AS r;

-- Whose turn it is (rule 19): of each directive the ready steps without a live task that it may start now, in the order
-- of its plan, with their `turn` in it. Slots go to the lowest `running + turn` first, and so to whichever directive has
-- the fewest tasks running. A directive without such a step has one row, without a step. A directive costs one look,
-- however many ready steps it has. Relies on step_ready, task_one_live_a_step, task_on_a_daemon.
CREATE VIEW makima.ready_turn AS
WITH RECURSIVE slots AS MATERIALIZED (
    SELECT f.owner_id, f.free FROM makima.free_slots f
), having_ready AS (
    (SELECT s.directive_id FROM makima.step s WHERE s.status = 'ready' ORDER BY s.directive_id LIMIT 1)
     UNION ALL
    SELECT (SELECT s.directive_id FROM makima.step s
             WHERE s.status = 'ready' AND s.directive_id > h.directive_id ORDER BY s.directive_id LIMIT 1)
      FROM having_ready h WHERE h.directive_id IS NOT NULL
), directives AS (
    SELECT d.id, d.owner_id, coalesce(slots.free, 0) AS free, t.running, d.max_parallel - t.running AS parallel
      FROM having_ready h
      JOIN makima.directive d ON d.id = h.directive_id AND d.status = 'active'
      LEFT JOIN slots ON slots.owner_id = d.owner_id
     CROSS JOIN LATERAL (SELECT count(*)::integer AS running FROM makima.task t
                          WHERE t.owner_id = d.owner_id AND t.directive_id = d.id AND t.status IN ({on_a_daemon})) AS t
)
SELECT d.owner_id, d.id AS directive_id, d.free, d.running, d.parallel, s.id AS step_id, s.order_index,
       row_number() OVER (PARTITION BY d.id ORDER BY s.order_index, s.id) AS turn
  FROM directives d
  LEFT JOIN LATERAL (
       SELECT s.id, s.order_index
         FROM makima.step s
        WHERE s.directive_id = d.id AND s.status = 'ready'
          AND (SELECT true FROM makima.task t
                WHERE t.step_id = s.id AND t.kind = 'step' AND t.status IN ({live_task}) LIMIT 1) IS NULL
        ORDER BY s.order_index, s.id
        LIMIT greatest(least(d.parallel, d.free), 0)) AS s ON true;
