-- name: look_now
-- An idle directive's pull request is due to be looked at, if it is open. By its key: `= 'open'` would walk over
-- directive_watched.
UPDATE makima.directive d SET pr_look_at = makima.now(), version = d.version + 1
 WHERE d.id = %(id)s AND d.pr_state IS NOT DISTINCT FROM 'open'
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
