DROP FUNCTION makima.settle_orders(uuid[]);
DROP FUNCTION makima.withdraw_plans(uuid[]);
DROP FUNCTION makima.enforce_plans(uuid[]);

CREATE OR REPLACE FUNCTION makima.may_run(s makima.step) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT s.status = 'pending' AND s.held_by IS NULL AND s.removed_by IS NULL
       AND NOT EXISTS (SELECT FROM makima.step_dependency e JOIN makima.step d ON d.id = e.depends_on
                        WHERE e.step_id = s.id AND d.status NOT IN ('completed', 'skipped'))
       AND NOT EXISTS (SELECT FROM makima.step l
                        WHERE l.directive_id = s.directive_id AND l.order_index < s.order_index
                          AND l.status IN ('pending', 'ready', 'running', 'failed') AND l.held_by IS NULL
                          AND NOT (l.status = 'failed' AND EXISTS (
                              SELECT FROM makima.directive c WHERE c.id = l.directive_id AND c.on_failure = 'continue')))
$$;

DROP TABLE makima.question;
DROP TABLE makima.step_order;
DROP TABLE makima.work_order;

DROP INDEX makima.plan_request_by_directive, makima.step_removed, makima.step_held, makima.step_skipped_for;
ALTER TABLE makima.step DROP COLUMN skipped_for, DROP COLUMN head, DROP COLUMN files_changed;
ALTER TABLE makima.task DROP COLUMN gave_up, DROP COLUMN cancel_cause;

DROP TRIGGER directive_status ON makima.directive;
DROP FUNCTION makima.stamp_status();
DROP INDEX makima.directive_waits_for_a_person, makima.directive_deadline;
ALTER TABLE makima.directive
    DROP COLUMN status_at, DROP COLUMN stop_now, DROP COLUMN awaited_plan, DROP COLUMN paused_for;
