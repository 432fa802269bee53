-- name: bearer
-- Whose a token is, and what it may at this moment: the lesser of its role and its person's (the unique hash).
SELECT k.id AS token, k.owner_id, o.name AS owner_name, k.person_id, p.name AS person, least(k.role, m.role) AS role,
       extract(epoch FROM k.expires_at - makima.now())::float8 AS seconds_left,
       k.last_used_at > makima.now() - interval '1 minute' IS NOT TRUE AS is_due
  FROM makima.person_token k
  JOIN makima.member m ON m.owner_id = k.owner_id AND m.person_id = k.person_id
  JOIN makima.person p ON p.id = k.person_id
  JOIN makima.owner o ON o.id = k.owner_id
 WHERE k.hash = %(hash)s AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > makima.now());

-- name: used
UPDATE makima.person_token SET last_used_at = makima.now()
 WHERE id = %(token)s
   AND (last_used_at IS NULL OR last_used_at <= makima.now() - make_interval(secs => %(seconds)s));

-- name: owner_named
SELECT o.id, o.name FROM makima.owner o WHERE o.name = %(name)s;

-- name: add_token
-- A token of a member, who is there until this is committed: no row when the person is none.
INSERT INTO makima.person_token (id, owner_id, person_id, name, hash, role, expires_at)
SELECT %(id)s, m.owner_id, m.person_id, %(name)s, %(hash)s, %(role)s::makima.role,
       makima.now() + make_interval(secs => %(seconds)s)
  FROM makima.member m WHERE m.owner_id = %(owner)s AND m.person_id = %(person)s FOR KEY SHARE
RETURNING id;

-- name: revoke_session
-- A browser signs out: the token that its cookie held ends.
UPDATE makima.person_token SET revoked_at = makima.now()
 WHERE hash = %(hash)s AND name = %(name)s AND revoked_at IS NULL;
