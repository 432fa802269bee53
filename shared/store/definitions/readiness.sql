-- The rules that are asked of many rows at once, as views: a function of a row is called for each row (a tenth of a
-- millisecond), a view becomes a part of the statement that asks. Each rule stands once.

-- Rule 1: the steps that may run now. A step's dependencies are looked at newest first, since those settle last. Relies
-- on step_dependency's key and step_unsettled. The subquery keeps who asks by ids from reading step_unsettled whole; who
-- asks by directives says `status = 'pending'` besides, to go by that index.
CREATE VIEW makima.runnable AS
SELECT s.id, s.directive_id, s.status
  FROM makima.step s
 WHERE s.status = (SELECT 'pending'::makima.step_status) AND s.held_by IS NULL AND s.removed_by IS NULL
   AND (SELECT true FROM makima.step_dependency e JOIN makima.step d ON d.id = e.depends_on
         WHERE e.step_id = s.id AND (d.status NOT IN ({settled_step}) OR d.skipped_for IS NOT NULL)
         ORDER BY e.depends_on DESC LIMIT 1) IS NULL
   AND (SELECT true FROM makima.step l
         WHERE l.directive_id = s.directive_id AND l.order_index < s.order_index
           AND l.status IN ({unsettled_step}) AND l.held_by IS NULL
           AND (l.status <> 'failed'
                OR (SELECT c.on_failure FROM makima.directive c WHERE c.id = l.directive_id) <> 'continue')
         LIMIT 1) IS NULL;

-- Rule 3: what planning is asked for or under way, a row each. Relies on plan_request_unserved and
-- task_one_live_planning.
CREATE VIEW makima.open_planning AS
SELECT r.directive_id FROM makima.plan_request r WHERE r.served_by IS NULL
 UNION ALL
SELECT t.directive_id FROM makima.task t
 WHERE t.kind = 'plan' AND t.status IN ({live_task});

-- Rule 11: steps completed that are to be delivered, and are not, but for those left out. Relies on step_undelivered.
CREATE VIEW makima.undelivered_step AS
SELECT s.id, s.directive_id FROM makima.step s
 WHERE s.status = 'completed' AND NOT s.delivered AND s.branch IS NOT NULL
   AND (SELECT s.id = ANY (d.left_out) FROM makima.directive d WHERE d.id = s.directive_id) IS NOT TRUE;

-- Deliveries and looks at pull requests that are under way, or ended and nothing was drawn from them yet. Relies on
-- task_one_live_delivery and task_unsettled_delivery.
CREATE VIEW makima.open_delivery AS
SELECT t.directive_id FROM makima.task t
 WHERE t.kind IN ({delivery_kinds}) AND t.status IN ({live_task})
 UNION ALL
SELECT t.directive_id FROM makima.task t
 WHERE t.kind NOT IN ({agent_kinds}) AND t.status = 'completed' AND NOT t.settled;
