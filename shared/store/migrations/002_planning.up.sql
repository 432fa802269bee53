-- Planning in full: orders, questions, approval, why a directive is paused and a task cancelled, what a step hands on.

ALTER TABLE makima.directive
    ADD COLUMN paused_for   text CHECK (paused_for IN ('person', 'planning', 'failure', 'stuck', 'budget', 'delivery',
                                                      'blocked')),
    ADD COLUMN awaited_plan uuid REFERENCES makima.task,
    ADD COLUMN stop_now     boolean NOT NULL DEFAULT false,
    ADD COLUMN status_at    timestamptz NOT NULL DEFAULT makima.now();
CREATE INDEX directive_deadline ON makima.directive (deadline) WHERE status = 'active' AND deadline IS NOT NULL;
CREATE INDEX directive_waits_for_a_person ON makima.directive (owner_id, status_at)
    WHERE status IN ('paused', 'awaiting_approval');

-- Whoever changes a status, the row says since when it stands; why it was paused goes with the pause.
CREATE FUNCTION makima.stamp_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> OLD.status THEN
        NEW.status_at := makima.now();
        IF NEW.status <> 'paused' THEN
            NEW.paused_for := NULL;
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER directive_status BEFORE UPDATE OF status ON makima.directive
    FOR EACH ROW EXECUTE FUNCTION makima.stamp_status();

-- Why a task's end was asked for: NULL is a person; the others are no failure of the work. And why the live attempt's
-- agent says that it can't do the task.
ALTER TABLE makima.task
    ADD COLUMN cancel_cause text CHECK (cancel_cause IN ('superseded', 'stopped', 'archived')),
    ADD COLUMN gave_up      text;

-- What a finished step hands on besides its outcome, and the failed step for which one was skipped.
ALTER TABLE makima.step
    ADD COLUMN files_changed text[] NOT NULL DEFAULT '{}',
    ADD COLUMN head          text,
    ADD COLUMN skipped_for   uuid;
CREATE INDEX plan_request_by_directive ON makima.plan_request (directive_id, created_at);
CREATE INDEX step_skipped_for ON makima.step (skipped_for) WHERE skipped_for IS NOT NULL;
CREATE INDEX step_held        ON makima.step (held_by) WHERE held_by IS NOT NULL;
CREATE INDEX step_removed     ON makima.step (removed_by) WHERE removed_by IS NOT NULL;

CREATE TABLE makima.work_order (
    id           uuid PRIMARY KEY,
    owner_id     uuid NOT NULL REFERENCES makima.owner,
    directive_id uuid REFERENCES makima.directive,
    title        text NOT NULL,
    description  text NOT NULL DEFAULT '',
    priority     text NOT NULL DEFAULT 'medium' CHECK (priority IN ('critical', 'high', 'medium', 'low', 'none')),
    order_type   text NOT NULL DEFAULT 'feature' CHECK (order_type IN ('feature', 'bug', 'spike', 'chore', 'improvement')),
    status       text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'in_progress', 'done', 'cancelled')),
    version      integer NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT makima.now()
);
CREATE INDEX work_order_by_owner     ON makima.work_order (owner_id, id);
CREATE INDEX work_order_by_directive ON makima.work_order (directive_id, id) WHERE directive_id IS NOT NULL;

-- Which orders a step serves.
CREATE TABLE makima.step_order (
    step_id  uuid NOT NULL REFERENCES makima.step ON DELETE CASCADE,
    order_id uuid NOT NULL REFERENCES makima.work_order,
    PRIMARY KEY (step_id, order_id)
);
CREATE INDEX step_order_by_order ON makima.step_order (order_id);

CREATE TABLE makima.question (
    id             uuid PRIMARY KEY,
    task_id        uuid NOT NULL REFERENCES makima.task,
    attempt        integer NOT NULL,
    directive_id   uuid NOT NULL REFERENCES makima.directive,
    text           text NOT NULL,
    options        text[] NOT NULL DEFAULT '{}',
    default_answer text,
    expires_at     timestamptz,
    answer         text,
    settled        text CHECK (settled IN ('answered', 'default', 'expired')),
    settled_at     timestamptz,
    asked_at       timestamptz NOT NULL DEFAULT makima.now()
);
CREATE INDEX question_open    ON makima.question (directive_id, task_id) WHERE settled IS NULL;
CREATE INDEX question_expires ON makima.question (expires_at) WHERE settled IS NULL AND expires_at IS NOT NULL;

-- Rule 1: only what a person skipped settles its dependents; what was skipped for a failure waits with it.
CREATE OR REPLACE FUNCTION makima.may_run(s makima.step) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT s.status = 'pending' AND s.held_by IS NULL AND s.removed_by IS NULL
       AND NOT EXISTS (SELECT FROM makima.step_dependency e JOIN makima.step d ON d.id = e.depends_on
                        WHERE e.step_id = s.id
                          AND (d.status NOT IN ('completed', 'skipped') OR d.skipped_for IS NOT NULL))
       AND NOT EXISTS (SELECT FROM makima.step l
                        WHERE l.directive_id = s.directive_id AND l.order_index < s.order_index
                          AND l.status IN ('pending', 'ready', 'running', 'failed') AND l.held_by IS NULL
                          AND NOT (l.status = 'failed' AND EXISTS (
                              SELECT FROM makima.directive c WHERE c.id = l.directive_id AND c.on_failure = 'continue')))
$$;

-- Rule 5, the only place of it: these planning tasks' steps come into force, what they remove goes, the generation
-- counts up, and a request to plan for a failure whose step is gone by this is served by it.
CREATE FUNCTION makima.enforce_plans(plans uuid[]) RETURNS TABLE (directive_id uuid, steps uuid[]) LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM makima.step WHERE removed_by = ANY (plans) AND status IN ('pending', 'ready', 'failed', 'skipped')
        RETURNING id
    ), moot AS (
        DELETE FROM makima.plan_request r USING gone
         WHERE r.served_by IS NULL AND r.reason = 'failure' AND r.payload ->> 'step' = gone.id::text
    ), force AS (
        UPDATE makima.step s SET held_by = NULL
         WHERE held_by = ANY (plans) AND (removed_by IS NULL OR removed_by <> ALL (plans)) RETURNING s.id, s.directive_id
    ), counted AS (
        UPDATE makima.directive d SET generation = d.generation + 1, version = d.version + 1, awaited_plan = NULL
          FROM makima.task t
         WHERE t.id = ANY (plans) AND d.id = t.directive_id
        RETURNING d.id
    )
    SELECT counted.id, coalesce((SELECT array_agg(force.id) FROM force WHERE force.directive_id = counted.id), '{}')
      FROM counted
$$;

-- Rule 5, the other way: these planning tasks' steps are withdrawn, and what they meant to remove stays.
CREATE FUNCTION makima.withdraw_plans(plans uuid[]) RETURNS void LANGUAGE sql AS $$
    WITH released AS (
        UPDATE makima.step SET removed_by = NULL
         WHERE removed_by = ANY (plans) AND (held_by IS NULL OR held_by <> ALL (plans))
    ), settled AS (
        UPDATE makima.directive SET awaited_plan = NULL WHERE awaited_plan = ANY (plans)
    )
    DELETE FROM makima.step WHERE held_by = ANY (plans)
$$;

-- Orders as the steps that serve them stand: done, in progress, or open again; the ones that changed by it.
CREATE FUNCTION makima.settle_orders(orders uuid[]) RETURNS TABLE (id uuid, directive_id uuid, status text) LANGUAGE sql AS $$
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
