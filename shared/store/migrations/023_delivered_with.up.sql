-- Which of a directive's pull requests a step was delivered with, so that each one lists its own.
ALTER TABLE makima.step ADD round integer;
COMMENT ON COLUMN makima.step.round IS 'The number of the pull request that it was delivered with; NULL: none, or before it was kept.';
UPDATE makima.step s SET round = d.pr_round FROM makima.directive d WHERE d.id = s.directive_id AND s.delivered;
