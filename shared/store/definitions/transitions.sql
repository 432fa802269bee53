-- A change of status that is not in the tables of shared/domain/statuses.py is refused. Written by
-- `just state-machines` from those; change them, not this. The condition is the table: the function is only called for
-- what is refused.

CREATE OR REPLACE FUNCTION makima.refuse_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a % that is % can''t become %', TG_TABLE_NAME, OLD.status, NEW.status
        USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME,
              DETAIL = format('id %s', NEW.id);
END $$;

CREATE OR REPLACE TRIGGER directive_transition AFTER UPDATE OF status ON makima.directive FOR EACH ROW
    WHEN (NEW.status <> OLD.status AND NOT CASE OLD.status
        WHEN 'draft' THEN NEW.status IN ('active', 'archived')
        WHEN 'active' THEN NEW.status IN ('paused', 'awaiting_approval', 'idle', 'archived')
        WHEN 'paused' THEN NEW.status IN ('active', 'awaiting_approval', 'completed', 'archived')
        WHEN 'awaiting_approval' THEN NEW.status IN ('active', 'paused', 'archived')
        WHEN 'idle' THEN NEW.status IN ('active', 'paused', 'completed', 'archived')
        WHEN 'completed' THEN NEW.status IN ('active', 'archived')
        ELSE false END)
    EXECUTE FUNCTION makima.refuse_transition();

CREATE OR REPLACE TRIGGER step_transition AFTER UPDATE OF status ON makima.step FOR EACH ROW
    WHEN (NEW.status <> OLD.status AND NOT CASE OLD.status
        WHEN 'pending' THEN NEW.status IN ('ready', 'skipped')
        WHEN 'ready' THEN NEW.status IN ('pending', 'running', 'completed', 'failed', 'skipped')
        WHEN 'running' THEN NEW.status IN ('ready', 'completed', 'failed')
        WHEN 'failed' THEN NEW.status IN ('pending', 'skipped')
        WHEN 'skipped' THEN NEW.status IN ('pending')
        ELSE false END)
    EXECUTE FUNCTION makima.refuse_transition();

CREATE OR REPLACE TRIGGER task_transition AFTER UPDATE OF status ON makima.task FOR EACH ROW
    WHEN (NEW.status <> OLD.status AND NOT CASE OLD.status
        WHEN 'pending' THEN NEW.status IN ('starting', 'failed', 'cancelled')
        WHEN 'starting' THEN NEW.status IN ('pending', 'running', 'completed', 'failed', 'cancelled')
        WHEN 'running' THEN NEW.status IN ('pending', 'paused', 'completed', 'failed', 'cancelled')
        WHEN 'paused' THEN NEW.status IN ('pending', 'running', 'completed', 'failed', 'cancelled')
        ELSE false END)
    EXECUTE FUNCTION makima.refuse_transition();
