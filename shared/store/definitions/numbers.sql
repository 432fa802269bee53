-- The owner's row is held until the transaction ends, so that no two directives take one number.
CREATE OR REPLACE FUNCTION makima.number_directive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE makima.owner SET directives = directives + 1 WHERE id = NEW.owner_id RETURNING directives INTO NEW.number;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER number_directive BEFORE INSERT ON makima.directive
    FOR EACH ROW WHEN (NEW.number IS NULL) EXECUTE FUNCTION makima.number_directive();

-- Whoever adds steps has locked their directive. Relies on step_by_number.
CREATE OR REPLACE FUNCTION makima.number_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.number := coalesce((SELECT max(s.number) FROM makima.step s WHERE s.directive_id = NEW.directive_id), 0) + 1;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER number_step BEFORE INSERT ON makima.step
    FOR EACH ROW WHEN (NEW.number IS NULL) EXECUTE FUNCTION makima.number_step();

CREATE OR REPLACE FUNCTION makima.number_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE makima.owner SET orders = orders + 1 WHERE id = NEW.owner_id RETURNING orders INTO NEW.number;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER number_order BEFORE INSERT ON makima.work_order
    FOR EACH ROW WHEN (NEW.number IS NULL) EXECUTE FUNCTION makima.number_order();
