-- Whoever changes a status, the row says since when it stands; why it was paused goes with the pause.
CREATE OR REPLACE FUNCTION makima.stamp_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> OLD.status THEN
        NEW.status_at := makima.now();
        IF NEW.status <> 'paused' THEN
            NEW.paused_for := NULL;
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER directive_status BEFORE UPDATE OF status ON makima.directive
    FOR EACH ROW EXECUTE FUNCTION makima.stamp_status();
