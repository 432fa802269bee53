-- name: lock_keys
-- Keys change one after another, and the file of admitted keys is written by one at a time.
SELECT pg_advisory_xact_lock(1835821676);

-- name: owner_of_key
SELECT o.id, o.name FROM makima.daemon_key k JOIN makima.owner o ON o.id = k.owner_id WHERE k.public_key = %(key)s;

-- name: key
SELECT k.public_key, k.name, k.status, k.labels, k.slots, k.joined_by, k.created_at, k.expires_at, k.changed_at,
       k.expires_at <= makima.now() IS TRUE AS expired
  FROM makima.daemon_key k WHERE k.public_key = %(key)s AND k.owner_id = %(owner)s;

-- name: key_exists
SELECT k.public_key FROM makima.daemon_key k WHERE k.public_key = %(key)s;

-- name: key_by_fingerprint
-- `digest` is a fingerprint's 16 digits.
SELECT k.public_key, k.name, k.status, k.labels, k.slots, k.joined_by, k.created_at, k.expires_at, k.changed_at,
       k.expires_at <= makima.now() IS TRUE AS expired
  FROM makima.daemon_key k
 WHERE k.owner_id = %(owner)s AND left(encode(sha256(convert_to(k.public_key, 'UTF8')), 'hex'), 16) = %(digest)s;

-- name: keys
-- An owner's keys but for those that have expired.
SELECT k.public_key, k.name, k.status, k.labels, k.slots, k.joined_by, k.created_at, k.expires_at, k.changed_at,
       k.expires_at <= makima.now() IS TRUE AS expired
  FROM makima.daemon_key k
 WHERE k.owner_id = %(owner)s AND k.public_key > %(after)s
   AND (k.status IN ('used', 'revoked') OR k.expires_at IS NULL OR k.expires_at > makima.now())
 ORDER BY k.public_key LIMIT %(limit)s;

-- name: keys_named
-- The keys that a daemon may connect with: the newest, and those that it replaces.
SELECT k.public_key, k.name, k.status, k.labels, k.slots, k.joined_by, k.created_at, k.expires_at, k.changed_at, false AS expired
  FROM makima.daemon_key k
 WHERE k.owner_id = %(owner)s AND k.name = %(name)s AND k.status = 'accepted'
   AND (k.expires_at IS NULL OR k.expires_at > makima.now())
 ORDER BY k.expires_at DESC NULLS FIRST;

-- name: name_holder
-- Who has a name: another accepted key, or a daemon that is connected, or may come back: one of this machine, whose name
-- no key vouches for.
SELECT EXISTS (SELECT FROM makima.daemon_key k
                WHERE k.owner_id = %(owner)s AND k.name = %(name)s AND k.status = 'accepted') AS key,
       EXISTS (SELECT FROM makima.daemon d
                WHERE d.owner_id = %(owner)s AND d.name = %(name)s
                  AND (d.connected
                       OR d.last_seen > makima.now() - interval '30 days'
                          AND NOT EXISTS (SELECT FROM makima.daemon_key k
                                           WHERE k.owner_id = d.owner_id AND k.name = d.name
                                             AND k.status IN ('accepted', 'revoked')))) AS daemon;

-- name: full
-- How many daemons an owner may have, where it has them: by accepted keys, and connected ones of this machine.
SELECT coalesce(o.max_daemons, 0) AS max_daemons FROM makima.owner o
 WHERE o.id = %(owner)s
   AND o.max_daemons <= (SELECT count(*) FROM (
           SELECT k.name FROM makima.daemon_key k WHERE k.owner_id = o.id AND k.status = 'accepted'
            UNION
           SELECT d.name FROM makima.daemon d WHERE d.owner_id = o.id AND d.connected) AS had);

-- name: count_asking
SELECT count(*) FROM makima.daemon_key k
 WHERE k.owner_id = %(owner)s AND k.status = 'asking' AND k.expires_at > makima.now();

-- name: add_key
INSERT INTO makima.daemon_key (public_key, owner_id, name, status, labels, slots, joined_by, expires_at)
VALUES (%(key)s, %(owner)s, %(name)s, %(status)s, %(labels)s, %(slots)s, %(joined_by)s,
        makima.now() + make_interval(secs => %(seconds)s))
RETURNING public_key, name, status, labels, slots, joined_by, created_at, expires_at, changed_at, false AS expired;

-- name: accept_key
-- A key that asked is a daemon's.
UPDATE makima.daemon_key
   SET status = 'accepted', name = %(name)s, labels = %(labels)s, slots = %(slots)s, joined_by = %(joined_by)s,
       expires_at = NULL, changed_at = makima.now()
 WHERE public_key = %(key)s
RETURNING public_key, name, status, labels, slots, joined_by, created_at, expires_at, changed_at, false AS expired;

-- name: use_invitation
-- It may connect for a little longer, to be told again that its daemon has joined.
UPDATE makima.daemon_key
   SET status = 'used', changed_at = makima.now(),
       expires_at = least(expires_at, makima.now() + make_interval(secs => %(seconds)s))
 WHERE public_key = %(key)s;

-- name: replace_keys
-- The keys that a daemon has now may connect for a little longer.
UPDATE makima.daemon_key
   SET changed_at = makima.now(), expires_at = least(expires_at, makima.now() + make_interval(secs => %(seconds)s))
 WHERE owner_id = %(owner)s AND name = %(name)s AND status = 'accepted';

-- name: revoke_keys
UPDATE makima.daemon_key SET status = 'revoked', expires_at = NULL, changed_at = makima.now()
 WHERE public_key = ANY(%(keys)s);

-- name: expire_keys
-- Ends what has expired, whosever it is, and forgets what was used or revoked a month ago.
WITH gone AS (DELETE FROM makima.daemon_key k
               WHERE k.status IN ('invited', 'asking') AND k.expires_at <= makima.now()
              RETURNING k.owner_id, k.public_key, coalesce(k.name, '') AS name, 'expired' AS status),
     replaced AS (UPDATE makima.daemon_key k SET status = 'revoked', expires_at = NULL, changed_at = makima.now()
                   WHERE k.status = 'accepted' AND k.expires_at <= makima.now()
                  RETURNING k.owner_id, k.public_key, coalesce(k.name, '') AS name, 'revoked' AS status),
     forgotten AS (DELETE FROM makima.daemon_key k
                    WHERE k.status IN ('used', 'revoked') AND k.changed_at < makima.now() - interval '30 days')
SELECT o.name AS owner, e.public_key, e.name, e.status
  FROM (SELECT * FROM gone UNION ALL SELECT * FROM replaced) AS e JOIN makima.owner o ON o.id = e.owner_id;

-- name: admitted_keys
-- Which keys may connect, whose they are, and until when (seconds since 1970).
SELECT k.public_key, coalesce(k.name, '') AS name, o.name AS owner, k.status, k.labels, k.slots,
       CASE WHEN k.expires_at IS NOT NULL THEN extract(epoch FROM k.expires_at)::float8 END AS until
  FROM makima.daemon_key k
  JOIN makima.owner o ON o.id = k.owner_id
 WHERE k.status IN ('invited', 'used', 'accepted')
   AND (k.expires_at IS NULL OR k.expires_at > makima.now())
 ORDER BY k.public_key;
