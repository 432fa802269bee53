-- name: known_person
-- Whom a subject of an OpenID provider is here (person_issuer_subject_key).
SELECT p.id, p.name FROM makima.person p WHERE p.issuer = %(issuer)s AND p.subject = %(subject)s;

-- name: bind_person
-- The member of a name by which nobody has signed in yet is this subject of the provider's from now on.
UPDATE makima.person p SET issuer = %(issuer)s, subject = %(subject)s
 WHERE p.name = %(name)s AND p.issuer IS NULL
   AND EXISTS (SELECT FROM makima.member m WHERE m.person_id = p.id)
   AND NOT EXISTS (SELECT FROM makima.person q WHERE q.issuer = %(issuer)s AND q.subject = %(subject)s)
RETURNING p.id, p.name;

-- name: is_taken
-- Whether somebody else has signed in by this name.
SELECT true FROM makima.person p WHERE p.name = %(name)s AND p.issuer IS NOT NULL;

-- name: memberships
-- Which owners a person is a member of (member_of).
SELECT o.id AS owner_id, o.name AS owner, m.role FROM makima.member m JOIN makima.owner o ON o.id = m.owner_id
 WHERE m.person_id = %(person)s ORDER BY o.name;

-- name: membership
-- A person as a member of an owner, who stays one until the transaction ends.
SELECT p.name AS person, o.name AS owner, m.role FROM makima.member m
  JOIN makima.owner o ON o.id = m.owner_id
  JOIN makima.person p ON p.id = m.person_id
 WHERE m.owner_id = %(owner)s AND m.person_id = %(person)s
   FOR KEY SHARE OF m;
