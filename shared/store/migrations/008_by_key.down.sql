DROP VIEW makima.task_to_send;
DROP FUNCTION makima.is_delivering(makima.directive);
DROP FUNCTION makima.has_undelivered(makima.directive);
DROP FUNCTION makima.is_planning(makima.directive);
DROP INDEX makima.task_unsettled_delivery;
CREATE INDEX task_unsettled_delivery ON makima.task (directive_id)
    WHERE kind IN ('completion', 'verification') AND status = 'completed' AND NOT settled;
DROP INDEX makima.directive_by_status;
CREATE INDEX directive_open ON makima.directive (id) WHERE status IN ('active', 'idle');
