-- The whole of makima's state. Every row belongs to an owner; every growing table has the index its hot query relies on.

CREATE SCHEMA makima;

-- The one clock of SQL. A connection may move it with `SET makima.now_offset = '1 hour'`.
CREATE FUNCTION makima.now() RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT clock_timestamp() + coalesce(nullif(current_setting('makima.now_offset', true), ''), '0')::interval
$$;

CREATE TABLE makima.owner (
    id          uuid PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    token_hash  text UNIQUE,
    max_running integer
);

CREATE TABLE makima.directive (
    id             uuid PRIMARY KEY,
    owner_id       uuid NOT NULL REFERENCES makima.owner,
    title          text NOT NULL,
    goal           text NOT NULL,
    repository_url text,
    base_branch    text,
    agent          text,
    status         text NOT NULL DEFAULT 'draft' CHECK (status IN
                   ('draft', 'active', 'paused', 'awaiting_approval', 'idle', 'completed', 'archived')),
    pause_reason   text,
    pr_branch      text,
    pr_url         text,
    delivered_at   timestamptz,
    on_failure     text NOT NULL DEFAULT 'replan' CHECK (on_failure IN ('replan', 'pause', 'continue')),
    approve_plan   boolean NOT NULL DEFAULT false,
    max_parallel   integer NOT NULL DEFAULT 4 CHECK (max_parallel > 0),
    max_attempts   integer NOT NULL DEFAULT 2 CHECK (max_attempts > 0),
    max_cost_usd   numeric,
    max_tokens     bigint,
    deadline       timestamptz,
    generation     integer NOT NULL DEFAULT 0,
    version        integer NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL DEFAULT makima.now()
);
CREATE INDEX directive_by_owner ON makima.directive (owner_id, id);
CREATE INDEX directive_open     ON makima.directive (id) WHERE status IN ('active', 'idle');

CREATE TABLE makima.goal_history (
    directive_id uuid NOT NULL REFERENCES makima.directive,
    goal         text NOT NULL,
    replaced_at  timestamptz NOT NULL DEFAULT makima.now()
);
CREATE INDEX goal_history_by_directive ON makima.goal_history (directive_id, replaced_at);

CREATE TABLE makima.task (
    id             uuid PRIMARY KEY,
    owner_id       uuid NOT NULL REFERENCES makima.owner,
    directive_id   uuid NOT NULL REFERENCES makima.directive,
    step_id        uuid,
    kind           text NOT NULL CHECK (kind IN ('plan', 'step', 'completion', 'verification')),
    name           text NOT NULL,
    prompt         text NOT NULL DEFAULT '',
    agent          text NOT NULL DEFAULT 'shell',
    status         text NOT NULL DEFAULT 'pending' CHECK (status IN
                   ('pending', 'starting', 'running', 'paused', 'completed', 'failed', 'cancelled')),
    attempt        integer NOT NULL DEFAULT 1,
    failures       integer NOT NULL DEFAULT 0,
    losses         integer NOT NULL DEFAULT 0,
    not_before     timestamptz NOT NULL DEFAULT makima.now(),
    cancel_asked   text,
    start_from     text,
    merge_branches text[] NOT NULL DEFAULT '{}',
    target_branch  text,
    daemon         text,
    branch         text,
    head           text,
    session        text,
    outcome        text NOT NULL DEFAULT '',
    reason         text,
    waiting_reason text,
    lease_until    timestamptz,
    cost_usd       numeric NOT NULL DEFAULT 0,
    tokens         bigint NOT NULL DEFAULT 0,
    version        integer NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL DEFAULT makima.now(),
    dispatched_at  timestamptz,
    ended_at       timestamptz
);
CREATE UNIQUE INDEX task_one_live_a_step ON makima.task (step_id)
    WHERE kind = 'step' AND status IN ('pending', 'starting', 'running', 'paused');
CREATE UNIQUE INDEX task_one_live_planning ON makima.task (directive_id)
    WHERE kind = 'plan' AND status IN ('pending', 'starting', 'running', 'paused');
CREATE UNIQUE INDEX task_one_live_delivery ON makima.task (directive_id)
    WHERE kind IN ('completion', 'verification') AND status IN ('pending', 'starting', 'running', 'paused');
CREATE INDEX task_by_directive ON makima.task (directive_id, id);
CREATE INDEX task_pending      ON makima.task (not_before) WHERE status = 'pending';
CREATE INDEX task_on_a_daemon  ON makima.task (owner_id, directive_id) WHERE status IN ('starting', 'running', 'paused');
CREATE INDEX task_cancel_asked ON makima.task (id)
    WHERE cancel_asked IS NOT NULL AND status IN ('pending', 'starting', 'running', 'paused');
CREATE INDEX task_by_lease     ON makima.task (lease_until) WHERE status IN ('starting', 'running', 'paused');

CREATE TABLE makima.step (
    id           uuid PRIMARY KEY,
    directive_id uuid NOT NULL REFERENCES makima.directive,
    name         text NOT NULL,
    description  text NOT NULL DEFAULT '',
    task_plan    text NOT NULL DEFAULT '',
    files        text[] NOT NULL DEFAULT '{}',
    order_index  integer NOT NULL DEFAULT 0,
    generation   integer NOT NULL DEFAULT 0,
    status       text NOT NULL DEFAULT 'pending' CHECK (status IN
                 ('pending', 'ready', 'running', 'completed', 'failed', 'skipped')),
    held_by      uuid REFERENCES makima.task,
    removed_by   uuid REFERENCES makima.task,
    task_id      uuid REFERENCES makima.task,
    branch       text,
    outcome      text NOT NULL DEFAULT '',
    reason       text,
    completed_at timestamptz,
    delivered    boolean NOT NULL DEFAULT false,
    version      integer NOT NULL DEFAULT 1
);
CREATE INDEX step_by_directive ON makima.step (directive_id, order_index, id);
CREATE INDEX step_ready        ON makima.step (directive_id, order_index, id) WHERE status = 'ready';
CREATE INDEX step_unsettled    ON makima.step (directive_id, order_index) WHERE status IN ('pending', 'ready', 'running', 'failed');
CREATE INDEX step_completed    ON makima.step (directive_id, completed_at DESC) WHERE status = 'completed';
CREATE INDEX step_undelivered  ON makima.step (directive_id) WHERE status = 'completed' AND NOT delivered;

CREATE TABLE makima.step_dependency (
    step_id    uuid NOT NULL REFERENCES makima.step ON DELETE CASCADE,
    depends_on uuid NOT NULL REFERENCES makima.step ON DELETE CASCADE,
    position   integer NOT NULL,
    PRIMARY KEY (step_id, depends_on)
);
CREATE INDEX step_dependents ON makima.step_dependency (depends_on, step_id);

-- Rule 1, the only place of it in SQL: may this step run now? Relies on step_dependency's key and on step_unsettled.
CREATE FUNCTION makima.may_run(s makima.step) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT s.status = 'pending' AND s.held_by IS NULL AND s.removed_by IS NULL
       AND NOT EXISTS (SELECT FROM makima.step_dependency e JOIN makima.step d ON d.id = e.depends_on
                        WHERE e.step_id = s.id AND d.status NOT IN ('completed', 'skipped'))
       AND NOT EXISTS (SELECT FROM makima.step l
                        WHERE l.directive_id = s.directive_id AND l.order_index < s.order_index
                          AND l.status IN ('pending', 'ready', 'running', 'failed') AND l.held_by IS NULL
                          AND NOT (l.status = 'failed' AND EXISTS (
                              SELECT FROM makima.directive c WHERE c.id = l.directive_id AND c.on_failure = 'continue')))
$$;

CREATE TABLE makima.plan_request (
    id           uuid PRIMARY KEY,
    directive_id uuid NOT NULL REFERENCES makima.directive,
    reason       text NOT NULL CHECK (reason IN ('goal', 'orders', 'failure', 'user')),
    payload      jsonb NOT NULL DEFAULT '{}',
    served_by    uuid REFERENCES makima.task,
    created_at   timestamptz NOT NULL DEFAULT makima.now()
);
CREATE INDEX plan_request_unserved ON makima.plan_request (directive_id) WHERE served_by IS NULL;
CREATE INDEX plan_request_by_task  ON makima.plan_request (served_by) WHERE served_by IS NOT NULL;

CREATE TABLE makima.attempt (
    task_id    uuid NOT NULL REFERENCES makima.task,
    number     integer NOT NULL,
    daemon     text,
    agent      text NOT NULL,
    session    text,
    branch     text,
    started_at timestamptz NOT NULL DEFAULT makima.now(),
    ended_at   timestamptz,
    outcome    text CHECK (outcome IN ('succeeded', 'failed', 'interrupted', 'lost', 'cancelled')),
    reason     text,
    tail       text,
    exit_code  integer,
    PRIMARY KEY (task_id, number)
);

CREATE TABLE makima.task_output (
    task_id   uuid NOT NULL REFERENCES makima.task,
    attempt   integer NOT NULL,
    first_seq integer NOT NULL,
    last_seq  integer NOT NULL,
    events    jsonb NOT NULL,
    at        timestamptz NOT NULL DEFAULT makima.now(),
    PRIMARY KEY (task_id, attempt, first_seq)
);

CREATE TABLE makima.daemon (
    owner_id  uuid NOT NULL REFERENCES makima.owner,
    name      text NOT NULL,
    labels    text[] NOT NULL DEFAULT '{}',
    agents    text[] NOT NULL DEFAULT '{}',
    capacity  integer NOT NULL DEFAULT 0,
    connected boolean NOT NULL DEFAULT false,
    draining  boolean NOT NULL DEFAULT false,
    last_seen timestamptz NOT NULL DEFAULT makima.now(),
    PRIMARY KEY (owner_id, name)
);

-- The audit log: every state change, written in the transaction that made it.
CREATE TABLE makima.event (
    seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    type         text NOT NULL,
    directive_id uuid,
    body         jsonb NOT NULL,
    at           timestamptz NOT NULL DEFAULT makima.now()
);
CREATE INDEX event_by_directive ON makima.event (directive_id, seq);
