-- What a task's work consists of, so that the pull request and the next plan can tell.
ALTER TABLE makima.task ADD commits jsonb NOT NULL DEFAULT '[]';
COMMENT ON COLUMN makima.task.commits IS 'Its commits, oldest first, the newest hundred: sha and subject.';
