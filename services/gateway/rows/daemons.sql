-- name: drain
UPDATE makima.daemon SET drain_asked = %(on)s WHERE owner_id = %(owner)s AND name = %(name)s RETURNING name;

-- name: daemons
SELECT d.name, d.capacity, d.connected, d.draining,
       coalesce(d.refuses, CASE WHEN c.surplus THEN 'its owner may have no more than ' || c.max_daemons || ' daemons' END) AS refuses, d.labels, d.agents, d.last_seen,
       (SELECT count(*) FROM makima.task t WHERE t.owner_id = d.owner_id AND t.daemon = d.name
           AND t.status IN ({on_a_daemon}))::integer AS running
  FROM makima.daemon d LEFT JOIN makima.connected_daemon c ON c.owner_id = d.owner_id AND c.name = d.name
 WHERE d.owner_id = %(owner)s AND d.name > %(after)s ORDER BY d.name LIMIT %(limit)s;
