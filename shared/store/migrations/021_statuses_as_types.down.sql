DROP FUNCTION IF EXISTS makima.refuse_transition() CASCADE;
DROP TRIGGER directive_status ON makima.directive;
DROP INDEX makima.directive_deadline, makima.directive_waits_for_a_person, makima.directive_watched,
           makima.step_ready, makima.step_unsettled, makima.step_completed, makima.step_undelivered,
           makima.task_one_live_a_step, makima.task_one_live_planning, makima.task_one_live_delivery, makima.task_pending,
           makima.task_on_a_daemon, makima.task_cancel_asked, makima.task_refused, makima.task_unsettled_delivery,
           makima.task_delivery;

ALTER TABLE makima.directive
    ALTER status DROP DEFAULT,
    ALTER status TYPE text,
    ALTER status SET DEFAULT 'draft',
    ALTER paused_for TYPE text,
    ADD CONSTRAINT directive_status_check CHECK (status IN
        ('draft', 'active', 'paused', 'awaiting_approval', 'idle', 'completed', 'archived')),
    ADD CONSTRAINT directive_paused_for_check CHECK (paused_for IN
        ('person', 'planning', 'failure', 'stuck', 'budget', 'delivery', 'blocked'));
ALTER TABLE makima.step
    ALTER status DROP DEFAULT,
    ALTER status TYPE text,
    ALTER status SET DEFAULT 'pending',
    ADD CONSTRAINT step_status_check CHECK (status IN ('pending', 'ready', 'running', 'completed', 'failed', 'skipped'));
ALTER TABLE makima.task
    ALTER status DROP DEFAULT,
    ALTER status TYPE text,
    ALTER status SET DEFAULT 'pending',
    ALTER kind TYPE text,
    ALTER cancel_cause TYPE text,
    ADD CONSTRAINT task_status_check CHECK (status IN
        ('pending', 'starting', 'running', 'paused', 'completed', 'failed', 'cancelled')),
    ADD CONSTRAINT task_kind_check CHECK (kind IN ('plan', 'step', 'completion', 'verification')),
    ADD CONSTRAINT task_cancel_cause_check CHECK (cancel_cause IN ('superseded', 'stopped', 'archived'));
ALTER TABLE makima.attempt
    ALTER outcome TYPE text,
    ADD CONSTRAINT attempt_outcome_check CHECK (outcome IN ('succeeded', 'failed', 'interrupted', 'lost', 'cancelled'));
ALTER TABLE makima.work_order
    ALTER status DROP DEFAULT,
    ALTER status TYPE text,
    ALTER status SET DEFAULT 'open',
    ADD CONSTRAINT work_order_status_check CHECK (status IN ('open', 'in_progress', 'done', 'cancelled'));

DROP TYPE makima.directive_status, makima.step_status, makima.task_status, makima.task_kind, makima.order_status,
          makima.pause_cause, makima.cancel_cause, makima.attempt_outcome;

CREATE INDEX directive_deadline ON makima.directive (deadline) WHERE status = 'active' AND deadline IS NOT NULL;
CREATE INDEX directive_waits_for_a_person ON makima.directive (owner_id, status_at)
    WHERE status IN ('paused', 'awaiting_approval');
CREATE INDEX directive_watched ON makima.directive (pr_look_at) WHERE status = 'idle' AND pr_state = 'open';
CREATE INDEX step_ready ON makima.step (directive_id, order_index, id) WHERE status = 'ready';
CREATE INDEX step_unsettled ON makima.step (directive_id, order_index)
    WHERE status IN ('pending', 'ready', 'running', 'failed');
CREATE INDEX step_completed ON makima.step (directive_id, completed_at DESC) WHERE status = 'completed';
CREATE INDEX step_undelivered ON makima.step (directive_id) WHERE status = 'completed' AND NOT delivered;
CREATE UNIQUE INDEX task_one_live_a_step ON makima.task (step_id)
    WHERE kind = 'step' AND status IN ('pending', 'starting', 'running', 'paused');
CREATE UNIQUE INDEX task_one_live_planning ON makima.task (directive_id)
    WHERE kind = 'plan' AND status IN ('pending', 'starting', 'running', 'paused');
CREATE UNIQUE INDEX task_one_live_delivery ON makima.task (directive_id)
    WHERE kind IN ('completion', 'verification') AND status IN ('pending', 'starting', 'running', 'paused');
CREATE INDEX task_pending ON makima.task (not_before) WHERE status = 'pending';
CREATE INDEX task_on_a_daemon ON makima.task (owner_id, directive_id) WHERE status IN ('starting', 'running', 'paused');
CREATE INDEX task_cancel_asked ON makima.task (id)
    WHERE cancel_asked IS NOT NULL AND status IN ('pending', 'starting', 'running', 'paused');
CREATE INDEX task_refused ON makima.task (owner_id)
    WHERE status IN ('pending', 'starting') AND refused_attempt IS NOT NULL;
CREATE INDEX task_unsettled_delivery ON makima.task (directive_id, id)
    WHERE kind NOT IN ('plan', 'step') AND status = 'completed' AND NOT settled;
CREATE INDEX task_delivery ON makima.task (directive_id, id) WHERE kind IN ('completion', 'verification');

CREATE TRIGGER directive_status BEFORE UPDATE OF status ON makima.directive
    FOR EACH ROW EXECUTE FUNCTION makima.stamp_status();

CREATE OR REPLACE FUNCTION makima.settle_orders(orders uuid[]) RETURNS TABLE (id uuid, directive_id uuid, status text) LANGUAGE sql AS $$
    UPDATE makima.work_order o SET status = x.status, version = o.version + 1
      FROM (SELECT asked.id,
                   CASE WHEN count(s.id) > 0 AND bool_and(s.status = 'completed') THEN 'done'
                        WHEN bool_or(s.status IN ('pending', 'ready', 'running')) THEN 'in_progress'
                        ELSE 'open' END AS status
              FROM unnest(orders) AS asked (id)
              LEFT JOIN makima.step_order so ON so.order_id = asked.id
              LEFT JOIN makima.step s ON s.id = so.step_id AND s.held_by IS NULL
             GROUP BY asked.id) AS x
     WHERE o.id = x.id AND o.status NOT IN ('cancelled', x.status)
    RETURNING o.id, o.directive_id, o.status
$$;

CREATE VIEW makima.task_to_send AS
SELECT t.id, t.owner_id, t.directive_id, t.step_id, t.kind, t.name, t.prompt, t.agent, t.attempt, t.session, t.daemon,
       coalesce(t.kept_branch, t.start_from) AS start_from,
       CASE WHEN t.kept_branch IS NULL THEN t.merge_branches ELSE '{}' END AS merge_branches,
       t.target_branch, t.delivery, t.tokens, d.repository_url, d.base_branch,
       (SELECT a.daemon FROM makima.attempt a
         WHERE a.task_id = t.id AND a.session = t.session ORDER BY a.number DESC LIMIT 1) AS session_daemon,
       CASE WHEN t.agent <> 'shell' AND d.agent IS NOT NULL THEN NULL
            WHEN t.kind = 'plan' THEN d.goal
            ELSE coalesce((SELECT s.task_plan FROM makima.step s WHERE s.id = t.step_id), t.prompt) END AS task_plan,
       failed.reason AS failed_reason, failed.tail AS failed_tail,
       d.agent IS NOT NULL OR t.kind NOT IN ('plan', 'step') AS agent_chosen
  FROM makima.task t
  JOIN makima.directive d ON d.id = t.directive_id
  LEFT JOIN LATERAL (
       SELECT a.reason, a.tail FROM makima.attempt a
        WHERE a.task_id = t.id AND a.outcome = 'failed' ORDER BY a.number DESC LIMIT 1) AS failed ON true;

CREATE VIEW makima.delivery_told AS
SELECT d.id, extract(epoch FROM makima.now() - d.created_at)::float AS seconds, cost.usd, cost.tokens, steps.all AS steps,
       coalesce((SELECT array_agg(o.priority || ': ' || o.title ORDER BY o.id) FROM makima.work_order o
                  WHERE o.directive_id = d.id AND o.status = 'done'), '{}') AS orders
  FROM makima.directive d
 CROSS JOIN LATERAL (SELECT coalesce(sum(t.cost_usd), 0)::float AS usd, coalesce(sum(t.tokens), 0)::bigint AS tokens
                       FROM makima.task t WHERE t.directive_id = d.id) AS cost
 CROSS JOIN LATERAL (SELECT jsonb_agg(jsonb_build_object(
                                'id', s.id, 'name', s.name, 'status', s.status, 'branch', s.branch, 'head', t.head,
                                'base', t.base_commit,
                                'commits', jsonb_path_query_array(t.commits, '$[last - 20 to last]'),
                                'outcome', left(s.outcome, 2000), 'reason', s.reason, 'delivered', s.delivered,
                                'branch_removed', s.branch_removed)
                                ORDER BY s.order_index, s.completed_at, s.id) AS all
                       FROM makima.step s LEFT JOIN makima.task t ON t.id = s.task_id
                      WHERE s.directive_id = d.id AND s.held_by IS NULL) AS steps;

CREATE VIEW makima.runnable AS
SELECT s.id, s.directive_id, s.status
  FROM makima.step s
 WHERE s.status = (SELECT 'pending') AND s.held_by IS NULL AND s.removed_by IS NULL
   AND (SELECT true FROM makima.step_dependency e JOIN makima.step d ON d.id = e.depends_on
         WHERE e.step_id = s.id AND (d.status NOT IN ('completed', 'skipped') OR d.skipped_for IS NOT NULL)
         ORDER BY e.depends_on DESC LIMIT 1) IS NULL
   AND (SELECT true FROM makima.step l
         WHERE l.directive_id = s.directive_id AND l.order_index < s.order_index
           AND l.status IN ('pending', 'ready', 'running', 'failed') AND l.held_by IS NULL
           AND (l.status <> 'failed'
                OR (SELECT c.on_failure FROM makima.directive c WHERE c.id = l.directive_id) <> 'continue')
         LIMIT 1) IS NULL;

CREATE VIEW makima.open_planning AS
SELECT r.directive_id FROM makima.plan_request r WHERE r.served_by IS NULL
 UNION ALL
SELECT t.directive_id FROM makima.task t
 WHERE t.kind = 'plan' AND t.status IN ('pending', 'starting', 'running', 'paused');

CREATE VIEW makima.undelivered_step AS
SELECT s.id, s.directive_id FROM makima.step s
 WHERE s.status = 'completed' AND NOT s.delivered AND s.branch IS NOT NULL
   AND (SELECT s.id = ANY (d.left_out) FROM makima.directive d WHERE d.id = s.directive_id) IS NOT TRUE;

CREATE VIEW makima.open_delivery AS
SELECT t.directive_id FROM makima.task t
 WHERE t.kind IN ('completion', 'verification') AND t.status IN ('pending', 'starting', 'running', 'paused')
 UNION ALL
SELECT t.directive_id FROM makima.task t
 WHERE t.kind NOT IN ('plan', 'step') AND t.status = 'completed' AND NOT t.settled;
