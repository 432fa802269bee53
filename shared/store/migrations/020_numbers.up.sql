-- Short numbers for people: a directive's among its owner's, a step's within its directive. And the headers of answers
-- that were given to a request with an Idempotency-Key.

ALTER TABLE makima.owner ADD directives integer NOT NULL DEFAULT 0;
ALTER TABLE makima.directive ADD number integer;
ALTER TABLE makima.step ADD number integer;
ALTER TABLE makima.idempotency_key ADD headers jsonb NOT NULL DEFAULT '{}';

UPDATE makima.directive d SET number = n.number
  FROM (SELECT id, row_number() OVER (PARTITION BY owner_id ORDER BY id) AS number FROM makima.directive) n
 WHERE n.id = d.id;
UPDATE makima.owner o SET directives = (SELECT count(*) FROM makima.directive d WHERE d.owner_id = o.id);
UPDATE makima.step s SET number = n.number
  FROM (SELECT id, row_number() OVER (PARTITION BY directive_id ORDER BY id) AS number FROM makima.step) n
 WHERE n.id = s.id;

CREATE UNIQUE INDEX directive_by_number ON makima.directive (owner_id, number);
CREATE INDEX step_by_number ON makima.step (directive_id, number);

-- The owner's row is held until the transaction ends, so that no two directives take one number.
CREATE FUNCTION makima.number_directive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE makima.owner SET directives = directives + 1 WHERE id = NEW.owner_id RETURNING directives INTO NEW.number;
    RETURN NEW;
END
$$;
CREATE TRIGGER number_directive BEFORE INSERT ON makima.directive
    FOR EACH ROW WHEN (NEW.number IS NULL) EXECUTE FUNCTION makima.number_directive();

-- Whoever adds steps has locked their directive. Relies on step_by_number.
CREATE FUNCTION makima.number_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.number := coalesce((SELECT max(s.number) FROM makima.step s WHERE s.directive_id = NEW.directive_id), 0) + 1;
    RETURN NEW;
END
$$;
CREATE TRIGGER number_step BEFORE INSERT ON makima.step
    FOR EACH ROW WHEN (NEW.number IS NULL) EXECUTE FUNCTION makima.number_step();

ALTER TABLE makima.directive ALTER number SET NOT NULL;
ALTER TABLE makima.step ALTER number SET NOT NULL;
