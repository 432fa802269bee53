-- Why no daemon could take a task, as a word that statements compare; waiting_reason says it to people.
ALTER TABLE makima.task ADD refusal text;
COMMENT ON COLUMN makima.task.refusal IS 'The kind of the reason for which refused_attempt was refused.';
