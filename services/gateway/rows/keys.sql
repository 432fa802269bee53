-- name: claim_key
-- Claims a key for the transaction that does the work; gives no row when it was claimed before. Waits for one that is at it.
INSERT INTO makima.idempotency_key (owner_id, key, request) VALUES (%(owner)s, %(key)s, %(request)s)
    ON CONFLICT DO NOTHING RETURNING key;

-- name: kept_answer
SELECT request, answer, headers FROM makima.idempotency_key WHERE owner_id = %(owner)s AND key = %(key)s;

-- name: keep_answer
-- Keeps the answer, and forgets those of yesterday (idempotency_key_by_age).
WITH old AS (DELETE FROM makima.idempotency_key WHERE at < makima.now() - interval '1 day')
UPDATE makima.idempotency_key SET answer = %(answer)s::jsonb, headers = %(headers)s::jsonb WHERE owner_id = %(owner)s AND key = %(key)s;
