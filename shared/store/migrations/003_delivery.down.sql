ALTER TABLE makima.step DROP COLUMN branch_removed;
DROP INDEX makima.task_delivery;
DROP INDEX makima.task_unsettled_delivery;
ALTER TABLE makima.task DROP COLUMN delivery, DROP COLUMN result, DROP COLUMN settled;
DROP INDEX makima.directive_watched;
ALTER TABLE makima.directive
    DROP COLUMN pr_state, DROP COLUMN pr_round, DROP COLUMN pr_etag, DROP COLUMN pr_look_at, DROP COLUMN pr_looks,
    DROP COLUMN verified, DROP COLUMN merge_into_base, DROP COLUMN delivery_fixes, DROP COLUMN left_out,
    DROP COLUMN check_command;
