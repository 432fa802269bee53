-- name: events
SELECT e.seq, e.type, e.directive_id, e.body, e.at, d.owner_id FROM makima.event e
  JOIN makima.directive d ON d.id = e.directive_id AND d.owner_id = %(owner)s
 WHERE e.directive_id = %(directive)s AND e.seq > %(after)s ORDER BY e.seq LIMIT %(limit)s;

-- name: replay
-- Entries of a directive's log between two numbers (event_by_directive).
SELECT e.seq, e.type, e.directive_id, e.body, e.at, d.owner_id FROM makima.event e
  JOIN makima.directive d ON d.id = e.directive_id AND d.owner_id = %(owner)s
 WHERE e.directive_id = %(directive)s AND e.seq > %(after)s AND e.seq <= %(to)s
 ORDER BY e.seq LIMIT %(limit)s;

-- name: replay_all
-- The same of all that is an owner's: its directives' entries, and those that name it, of members and keys (the primary key).
SELECT e.seq, e.type, e.directive_id, e.body, e.at, coalesce(d.owner_id, o.id) AS owner_id FROM makima.event e
  LEFT JOIN makima.directive d ON d.id = e.directive_id
  LEFT JOIN makima.owner o ON e.directive_id IS NULL AND o.name = e.body ->> 'owner'
 WHERE coalesce(d.owner_id, o.id) = %(owner)s AND e.seq > %(after)s AND e.seq <= %(to)s
 ORDER BY e.seq LIMIT %(limit)s;

-- name: settled_position
-- A number below which every transaction has ended: the newest entry that is not quite new. Walks the primary key back.
SELECT coalesce((SELECT seq FROM makima.event WHERE at < makima.now() - interval '2 seconds'
                  ORDER BY seq DESC LIMIT 1), 0) AS seq;

-- name: last_position
SELECT coalesce(max(seq), 0) AS seq FROM makima.event;

-- name: follow
-- What was added to the log, whosoever's it is.
SELECT e.seq, e.type, e.directive_id, e.body, e.at, coalesce(d.owner_id, o.id) AS owner_id FROM makima.event e
  LEFT JOIN makima.directive d ON d.id = e.directive_id
  LEFT JOIN makima.owner o ON e.directive_id IS NULL AND o.name = e.body ->> 'owner'
 WHERE e.seq > %(after)s ORDER BY e.seq LIMIT %(limit)s;
