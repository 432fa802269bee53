-- name: own
-- The owner of this cluster, with the hash of its person's token, and how many of its tasks may run at once.
INSERT INTO makima.owner (id, name, token_hash, max_running) VALUES (%(id)s, %(name)s, %(hash)s, %(max_running)s)
    ON CONFLICT (name) DO UPDATE SET token_hash = excluded.token_hash, max_running = excluded.max_running
RETURNING id;

-- name: live_task
-- The task of a token, as long as its attempt is live.
SELECT t.id, t.directive_id, t.kind, t.owner_id, o.name AS owner_name
  FROM makima.task t JOIN makima.owner o ON o.id = t.owner_id
 WHERE t.id = %(task)s AND t.attempt = %(attempt)s AND t.status IN ({on_a_daemon});
