DROP VIEW IF EXISTS makima.task_to_send;  -- which the definitions of that version make again
DROP FUNCTION IF EXISTS makima.enforce_plans(uuid[]);
ALTER TABLE makima.step DROP agent, DROP model, DROP labels;
