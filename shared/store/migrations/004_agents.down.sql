ALTER TABLE makima.daemon DROP COLUMN drain_asked, DROP COLUMN drains, DROP COLUMN refuses;
DROP TABLE makima.task_message;
ALTER TABLE makima.task DROP COLUMN kept_branch;
ALTER TABLE makima.attempt DROP COLUMN cost_usd, DROP COLUMN tokens;
