-- Statuses and the like as types of their own: a misspelt one is no such value where a statement is prepared, instead of
-- a condition that is never true. Views, and all that names a status, stand on the types; functions/ defines the views
-- again from here on.

DROP VIEW makima.task_to_send, makima.delivery_told, makima.runnable, makima.open_planning, makima.undelivered_step,
          makima.open_delivery;
DROP VIEW IF EXISTS makima.free_slots;  -- which the definitions make again
DROP TRIGGER directive_status ON makima.directive;
DROP INDEX makima.directive_deadline, makima.directive_waits_for_a_person, makima.directive_watched,
           makima.step_ready, makima.step_unsettled, makima.step_completed, makima.step_undelivered,
           makima.task_one_live_a_step, makima.task_one_live_planning, makima.task_one_live_delivery, makima.task_pending,
           makima.task_on_a_daemon, makima.task_cancel_asked, makima.task_refused, makima.task_unsettled_delivery,
           makima.task_delivery;

CREATE TYPE makima.directive_status AS ENUM
    ('draft', 'active', 'paused', 'awaiting_approval', 'idle', 'completed', 'archived');
CREATE TYPE makima.step_status AS ENUM ('pending', 'ready', 'running', 'completed', 'failed', 'skipped');
CREATE TYPE makima.task_status AS ENUM ('pending', 'starting', 'running', 'paused', 'completed', 'failed', 'cancelled');
CREATE TYPE makima.task_kind AS ENUM ('plan', 'step', 'completion', 'verification');
CREATE TYPE makima.order_status AS ENUM ('open', 'in_progress', 'done', 'cancelled');
CREATE TYPE makima.pause_cause AS ENUM ('person', 'planning', 'failure', 'stuck', 'budget', 'delivery', 'blocked');
CREATE TYPE makima.cancel_cause AS ENUM ('superseded', 'stopped', 'archived');
CREATE TYPE makima.attempt_outcome AS ENUM ('succeeded', 'failed', 'interrupted', 'lost', 'cancelled');

ALTER TABLE makima.directive
    DROP CONSTRAINT directive_status_check,
    DROP CONSTRAINT directive_paused_for_check,
    ALTER status DROP DEFAULT,
    ALTER status TYPE makima.directive_status USING status::makima.directive_status,
    ALTER status SET DEFAULT 'draft',
    ALTER paused_for TYPE makima.pause_cause USING paused_for::makima.pause_cause;
ALTER TABLE makima.step
    DROP CONSTRAINT step_status_check,
    ALTER status DROP DEFAULT,
    ALTER status TYPE makima.step_status USING status::makima.step_status,
    ALTER status SET DEFAULT 'pending';
ALTER TABLE makima.task
    DROP CONSTRAINT task_status_check,
    DROP CONSTRAINT task_kind_check,
    DROP CONSTRAINT task_cancel_cause_check,
    ALTER status DROP DEFAULT,
    ALTER status TYPE makima.task_status USING status::makima.task_status,
    ALTER status SET DEFAULT 'pending',
    ALTER kind TYPE makima.task_kind USING kind::makima.task_kind,
    ALTER cancel_cause TYPE makima.cancel_cause USING cancel_cause::makima.cancel_cause;
ALTER TABLE makima.attempt
    DROP CONSTRAINT attempt_outcome_check,
    ALTER outcome TYPE makima.attempt_outcome USING outcome::makima.attempt_outcome;
ALTER TABLE makima.work_order
    DROP CONSTRAINT work_order_status_check,
    ALTER status DROP DEFAULT,
    ALTER status TYPE makima.order_status USING status::makima.order_status,
    ALTER status SET DEFAULT 'open';

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
