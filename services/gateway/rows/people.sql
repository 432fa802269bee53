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

-- name: still
-- What a token may at this moment; no row when it is good no more.
SELECT least(k.role, m.role) AS role
  FROM makima.person_token k JOIN makima.member m ON m.owner_id = k.owner_id AND m.person_id = k.person_id
 WHERE k.id = %(token)s AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > makima.now());

-- name: owners
-- By name, after one (owner_name_key).
SELECT o.name, (SELECT count(*) FROM makima.member m WHERE m.owner_id = o.id)::integer AS members, o.directives,
       o.max_running, o.max_cost_usd_a_day::float8 AS max_cost_usd_a_day, o.max_daemons
  FROM makima.owner o WHERE o.name > %(after)s ORDER BY o.name LIMIT %(limit)s;

-- name: owner
SELECT o.name, (SELECT count(*) FROM makima.member m WHERE m.owner_id = o.id)::integer AS members, o.directives,
       o.max_running, o.max_cost_usd_a_day::float8 AS max_cost_usd_a_day, o.max_daemons
  FROM makima.owner o WHERE o.id = %(owner)s;

-- name: add_owner
-- Its id; no row when there is one of this name.
INSERT INTO makima.owner (id, name, max_running, max_cost_usd_a_day, max_daemons)
VALUES (%(id)s, %(name)s, %(max_running)s, %(max_cost_usd_a_day)s, %(max_daemons)s)
    ON CONFLICT (name) DO NOTHING RETURNING id;

-- name: lock_owner
-- Its members change one after another.
SELECT FROM makima.owner WHERE id = %(owner)s FOR NO KEY UPDATE;

-- name: set_limits
UPDATE makima.owner
   SET max_running = %(max_running)s, max_cost_usd_a_day = %(max_cost_usd_a_day)s, max_daemons = %(max_daemons)s
 WHERE id = %(owner)s;

-- name: members
-- By name, after one (the primary keys, person_token_by_member).
SELECT m.person_id, p.name, m.role, m.added_at, coalesce(k.many, 0)::integer AS tokens, k.last_used_at
  FROM makima.member m
  JOIN makima.person p ON p.id = m.person_id
  LEFT JOIN LATERAL (
       SELECT count(*) FILTER (WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > makima.now())) AS many,
              max(k.last_used_at) AS last_used_at
         FROM makima.person_token k WHERE k.owner_id = m.owner_id AND k.person_id = m.person_id) AS k ON true
 WHERE m.owner_id = %(owner)s AND p.name > %(after)s ORDER BY p.name LIMIT %(limit)s;

-- name: member
SELECT m.person_id, p.name, m.role, m.added_at, coalesce(k.many, 0)::integer AS tokens, k.last_used_at
  FROM makima.person p
  JOIN makima.member m ON m.owner_id = %(owner)s AND m.person_id = p.id
  LEFT JOIN LATERAL (
       SELECT count(*) FILTER (WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > makima.now())) AS many,
              max(k.last_used_at) AS last_used_at
         FROM makima.person_token k WHERE k.owner_id = m.owner_id AND k.person_id = m.person_id) AS k ON true
 WHERE p.name = %(name)s;

-- name: other_admins
SELECT count(*) FROM makima.member m
 WHERE m.owner_id = %(owner)s AND m.role = 'admin' AND m.person_id <> %(person)s;

-- name: put_member
-- A person, made where nobody has the name yet, has this role from now on.
WITH meant AS (
    INSERT INTO makima.person (id, name) VALUES (%(id)s, %(name)s)
        ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id
)
INSERT INTO makima.member (owner_id, person_id, role) SELECT %(owner)s, meant.id, %(role)s::makima.role FROM meant
    ON CONFLICT (owner_id, person_id) DO UPDATE SET role = excluded.role
RETURNING person_id;

-- name: remove_member
-- Their tokens end with it (ON DELETE CASCADE). Who is a member of nothing else is signed in by nobody any more: the first
-- who signs in by the name once it is added again is that person (member_of).
WITH removed AS (DELETE FROM makima.member WHERE owner_id = %(owner)s AND person_id = %(person)s RETURNING person_id)
UPDATE makima.person p SET issuer = NULL, subject = NULL FROM removed r
 WHERE p.id = r.person_id AND p.issuer IS NOT NULL
   AND NOT EXISTS (SELECT FROM makima.member m WHERE m.person_id = p.id AND m.owner_id <> %(owner)s);

-- name: tokens
-- Those that are good now, of one person or of all of the owner's (person_token_by_member).
SELECT k.id, k.name, p.name AS person, k.role, k.created_at, k.expires_at, k.last_used_at
  FROM makima.person_token k JOIN makima.person p ON p.id = k.person_id
 WHERE k.owner_id = %(owner)s AND (%(person)s::text IS NULL OR p.name = %(person)s)
   AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > makima.now())
   AND (%(after)s::uuid IS NULL OR k.id > %(after)s)
 ORDER BY k.id LIMIT %(limit)s;

-- name: token
SELECT k.id, k.name, p.name AS person, k.role, k.created_at, k.expires_at, k.last_used_at
  FROM makima.person_token k JOIN makima.person p ON p.id = k.person_id
 WHERE k.id = %(token)s AND k.owner_id = %(owner)s
   AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > makima.now());

-- name: add_token
-- Gives a member a token, and forgets those of theirs that ended a month ago. No row when the person is no member.
WITH held AS (
    SELECT m.owner_id, m.person_id, p.name AS person, o.name AS owner
      FROM makima.member m JOIN makima.person p ON p.id = m.person_id JOIN makima.owner o ON o.id = m.owner_id
     WHERE m.owner_id = %(owner)s AND m.person_id = %(person)s FOR KEY SHARE OF m
), forgotten AS (
    DELETE FROM makima.person_token k
     WHERE k.owner_id = %(owner)s AND k.person_id = %(person)s
       AND least(k.revoked_at, k.expires_at) < makima.now() - interval '30 days'
), added AS (
    INSERT INTO makima.person_token (id, owner_id, person_id, name, hash, role, expires_at)
    SELECT %(id)s, held.owner_id, held.person_id, %(name)s, %(hash)s, %(role)s::makima.role,
           makima.now() + make_interval(secs => %(seconds)s)
      FROM held
    RETURNING id, name, role, created_at, expires_at, last_used_at
)
SELECT added.*, held.person, held.owner FROM added, held;

-- name: revoke_token
UPDATE makima.person_token SET revoked_at = makima.now() WHERE id = %(token)s AND revoked_at IS NULL;

-- name: revoke_session
-- A browser signs out: the token that its cookie held ends.
UPDATE makima.person_token SET revoked_at = makima.now()
 WHERE hash = %(hash)s AND name = %(name)s AND revoked_at IS NULL
RETURNING id;
