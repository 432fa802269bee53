-- name: look_now
-- An open pull request is due to be looked at.
UPDATE makima.directive d SET pr_look_at = makima.now(), version = d.version + 1
 WHERE d.id = %(id)s AND d.status = 'idle' AND d.pr_state = 'open'
RETURNING d.status, d.version;

-- name: tell_delivery
-- What an agent or a person says of a delivery: its pull request, and that it is done for good (rule 13).
UPDATE makima.directive d
   SET pr_url = coalesce(%(url)s, d.pr_url), pr_state = CASE WHEN %(url)s::text IS NULL THEN d.pr_state ELSE 'open' END,
       pr_look_at = CASE WHEN %(url)s::text IS NULL THEN d.pr_look_at ELSE makima.now() END,
       status = coalesce(%(status)s, d.status), pause_reason = CASE WHEN %(status)s::text IS NULL THEN d.pause_reason END,
       version = d.version + 1
 WHERE d.id = %(id)s
RETURNING d.status, d.version;
