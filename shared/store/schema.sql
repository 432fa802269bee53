-- The whole of makima's state, as the migrations make it: a document, which no database is made by and a test holds to
-- them. Every row belongs to an owner; every growing table has the index that its hot query relies on. Functions, views
-- and triggers stand in definitions/, which is applied as it is; makima.now() is the one clock.

-- ==== What can be said of things (shared/domain/statuses.py)

CREATE TYPE makima.directive_status AS ENUM
    ('draft', 'active', 'paused', 'awaiting_approval', 'idle', 'completed', 'archived');
CREATE TYPE makima.step_status     AS ENUM ('pending', 'ready', 'running', 'completed', 'failed', 'skipped');
CREATE TYPE makima.task_status     AS ENUM ('pending', 'starting', 'running', 'paused', 'completed', 'failed', 'cancelled');
CREATE TYPE makima.task_kind       AS ENUM ('plan', 'step', 'completion', 'verification');
CREATE TYPE makima.order_status    AS ENUM ('open', 'in_progress', 'done', 'cancelled');
CREATE TYPE makima.pause_cause     AS ENUM ('person', 'planning', 'failure', 'stuck', 'budget', 'delivery', 'blocked');
CREATE TYPE makima.cancel_cause    AS ENUM ('superseded', 'stopped', 'archived');
CREATE TYPE makima.delivered_as    AS ENUM ('while_it_ran', 'next_turn');
CREATE TYPE makima.attempt_outcome AS ENUM ('succeeded', 'failed', 'interrupted', 'lost', 'cancelled');
CREATE TYPE makima.key_status      AS ENUM ('invited', 'used', 'asking', 'accepted', 'revoked');
CREATE TYPE makima.role            AS ENUM ('viewer', 'operator', 'admin');

-- ==== Who

CREATE TABLE makima.owner (
    id          uuid PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    token_hash  text UNIQUE,
    max_running integer,
    directives  integer NOT NULL DEFAULT 0, -- how many it has had: the number of its newest
    orders      integer NOT NULL DEFAULT 0,
    max_cost_usd_a_day numeric,
    max_daemons integer
);

CREATE TABLE makima.daemon (
    owner_id    uuid NOT NULL REFERENCES makima.owner,
    name        text NOT NULL,
    labels      text[] NOT NULL DEFAULT '{}',
    agents      text[] NOT NULL DEFAULT '{}',
    capacity    integer NOT NULL DEFAULT 0,
    connected   boolean NOT NULL DEFAULT false,
    draining    boolean NOT NULL DEFAULT false,
    drain_asked boolean NOT NULL DEFAULT false,
    drains      boolean NOT NULL DEFAULT false,
    refuses     text,
    last_seen   timestamptz NOT NULL DEFAULT makima.now(),
    connected_at timestamptz NOT NULL DEFAULT makima.now(),
    PRIMARY KEY (owner_id, name)
);

CREATE TABLE makima.owner_spending (
    owner_id uuid NOT NULL REFERENCES makima.owner,
    day      date NOT NULL,
    cost_usd numeric NOT NULL,
    PRIMARY KEY (owner_id, day)
);
COMMENT ON COLUMN makima.owner_spending.day IS 'In UTC.';

CREATE TABLE makima.daemon_key (
    public_key text PRIMARY KEY CHECK (length(public_key) = 40),
    owner_id   uuid NOT NULL REFERENCES makima.owner,
    name       text,
    status     makima.key_status NOT NULL,
    labels     text[] NOT NULL DEFAULT '{}',
    slots      integer,
    joined_by  text,
    created_at timestamptz NOT NULL DEFAULT makima.now(),
    expires_at timestamptz,
    changed_at timestamptz NOT NULL DEFAULT makima.now()
);
COMMENT ON COLUMN makima.daemon_key.name IS 'The daemon''s; NULL: an invitation that leaves it open.';
COMMENT ON COLUMN makima.daemon_key.joined_by IS 'The key of the invitation that it was accepted by.';
COMMENT ON COLUMN makima.daemon_key.expires_at IS 'Until when it may connect; NULL: as long as it is accepted.';
CREATE INDEX daemon_key_by_owner ON makima.daemon_key (owner_id, name);
CREATE UNIQUE INDEX daemon_key_one_a_name ON makima.daemon_key (owner_id, name)
    WHERE status = 'accepted' AND expires_at IS NULL;

CREATE TABLE makima.person (
    id         uuid PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    issuer     text,
    subject    text,
    created_at timestamptz NOT NULL DEFAULT makima.now(),
    UNIQUE (issuer, subject),
    CHECK ((issuer IS NULL) = (subject IS NULL))
);
COMMENT ON COLUMN makima.person.subject IS 'What the OpenID provider `issuer` calls them; NULL: nobody has signed in by that name.';

CREATE TABLE makima.member (
    owner_id  uuid NOT NULL REFERENCES makima.owner,
    person_id uuid NOT NULL REFERENCES makima.person,
    role      makima.role NOT NULL,
    added_at  timestamptz NOT NULL DEFAULT makima.now(),
    PRIMARY KEY (owner_id, person_id)
);
CREATE INDEX member_of ON makima.member (person_id);

CREATE TABLE makima.person_token (
    id           uuid PRIMARY KEY,
    owner_id     uuid NOT NULL,
    person_id    uuid NOT NULL,
    name         text NOT NULL,
    hash         text NOT NULL UNIQUE,
    role         makima.role NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT makima.now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    FOREIGN KEY (owner_id, person_id) REFERENCES makima.member ON DELETE CASCADE
);
COMMENT ON COLUMN makima.person_token.role IS 'The most that it may do: what it may is the lesser of this and its person''s role.';
CREATE INDEX person_token_by_member ON makima.person_token (owner_id, person_id);

-- ==== Directives

CREATE TABLE makima.directive (
    id               uuid PRIMARY KEY,
    owner_id         uuid NOT NULL REFERENCES makima.owner,
    number           integer NOT NULL,
    title            text NOT NULL,
    goal             text NOT NULL,
    repository_url   text,
    base_branch      text,
    agent            text,
    status           makima.directive_status NOT NULL DEFAULT 'draft',
    status_at        timestamptz NOT NULL DEFAULT makima.now(),
    paused_for       makima.pause_cause,
    pause_reason     text,
    generation       integer NOT NULL DEFAULT 0,
    awaited_plan     uuid, -- REFERENCES makima.task
    version          integer NOT NULL DEFAULT 1,
    created_at       timestamptz NOT NULL DEFAULT makima.now(),

    on_failure       text NOT NULL DEFAULT 'replan' CHECK (on_failure IN ('replan', 'pause', 'continue')),
    approve_plan     boolean NOT NULL DEFAULT false,
    max_parallel     integer NOT NULL DEFAULT 4 CHECK (max_parallel > 0),
    max_attempts     integer NOT NULL DEFAULT 2 CHECK (max_attempts > 0),
    max_cost_usd     numeric,
    max_tokens       bigint,
    deadline         timestamptz,
    stop_now         boolean NOT NULL DEFAULT false,
    merge_into_base  boolean NOT NULL DEFAULT false,
    check_command    text,

    pr_branch        text,
    pr_round         integer NOT NULL DEFAULT 1,
    pr_url           text,
    pr_state         text CHECK (pr_state IN ('open', 'merged', 'closed')),
    pr_etag          text,
    pr_look_at       timestamptz,
    pr_looks         integer NOT NULL DEFAULT 0,
    delivered_at     timestamptz,
    delivered_heads  text[] NOT NULL DEFAULT '{}',
    delivery_outcome text,
    delivery_fixes   integer NOT NULL DEFAULT 0,
    left_out         uuid[] NOT NULL DEFAULT '{}',
    verified         boolean NOT NULL DEFAULT false
);
COMMENT ON COLUMN makima.directive.delivered_heads IS 'The commits that were delivered, the newest last.';
COMMENT ON COLUMN makima.directive.delivery_outcome IS 'What came of its newest delivery or look at its pull request.';
CREATE INDEX directive_by_owner  ON makima.directive (owner_id, id);
CREATE UNIQUE INDEX directive_by_number ON makima.directive (owner_id, number);
CREATE INDEX directive_by_status ON makima.directive (status, id);
CREATE INDEX directive_deadline  ON makima.directive (deadline) WHERE status = 'active' AND deadline IS NOT NULL;
CREATE INDEX directive_watched   ON makima.directive (pr_look_at) WHERE status = 'idle' AND pr_state = 'open';
CREATE INDEX directive_waits_for_a_person ON makima.directive (owner_id, status_at)
    WHERE status IN ('paused', 'awaiting_approval');

CREATE TABLE makima.goal_history (
    directive_id uuid NOT NULL REFERENCES makima.directive,
    goal         text NOT NULL,
    replaced_at  timestamptz NOT NULL DEFAULT makima.now()
);
CREATE INDEX goal_history_by_directive ON makima.goal_history (directive_id, replaced_at);

-- ==== Tasks, and what their attempts were and said

CREATE TABLE makima.task (
    id              uuid PRIMARY KEY,
    owner_id        uuid NOT NULL REFERENCES makima.owner,
    directive_id    uuid NOT NULL REFERENCES makima.directive,
    step_id         uuid,
    kind            makima.task_kind NOT NULL,
    name            text NOT NULL,
    prompt          text NOT NULL DEFAULT '',
    agent           text NOT NULL DEFAULT 'shell',
    status          makima.task_status NOT NULL DEFAULT 'pending',
    version         integer NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT makima.now(),

    attempt         integer NOT NULL DEFAULT 1,
    failures        integer NOT NULL DEFAULT 0,
    losses          integer NOT NULL DEFAULT 0,
    not_before      timestamptz NOT NULL DEFAULT makima.now(),
    waiting_reason  text,
    refused_attempt integer,
    refusal         text,
    refused_since   timestamptz,
    daemon          text,
    dispatched_at   timestamptz,
    lease_until     timestamptz,
    session         text,
    cancel_asked    text,
    cancel_cause    makima.cancel_cause,
    gave_up         text,

    start_from      text,
    merge_branches  text[] NOT NULL DEFAULT '{}',
    target_branch   text,
    kept_branch     text,
    delivery        jsonb,

    branch          text,
    head            text,
    base_commit     text,
    commits         jsonb NOT NULL DEFAULT '[]',
    outcome         text NOT NULL DEFAULT '',
    reason          text,
    result          jsonb,
    settled         boolean NOT NULL DEFAULT false,
    cost_usd        numeric NOT NULL DEFAULT 0,
    tokens          bigint NOT NULL DEFAULT 0,
    ended_at        timestamptz
);
ALTER TABLE makima.directive ADD FOREIGN KEY (awaited_plan) REFERENCES makima.task;
COMMENT ON COLUMN makima.task.refused_attempt IS 'The attempt that no daemon could be found for; waiting_reason says why.';
COMMENT ON COLUMN makima.task.refusal IS 'The kind of the reason for which refused_attempt was refused.';
COMMENT ON COLUMN makima.task.refused_since IS 'Since when, for that reason.';
COMMENT ON COLUMN makima.task.base_commit IS 'The newest commit of the base branch that its work is built on.';
COMMENT ON COLUMN makima.task.commits IS 'Its commits, oldest first, the newest hundred: sha and subject.';
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
CREATE INDEX task_refused ON makima.task (owner_id) WHERE status IN ('pending', 'starting') AND refused_attempt IS NOT NULL;
CREATE INDEX task_delivery ON makima.task (directive_id, id) WHERE kind IN ('completion', 'verification');
CREATE INDEX task_unsettled_delivery ON makima.task (directive_id, id)
    WHERE kind NOT IN ('plan', 'step') AND status = 'completed' AND NOT settled;

CREATE TABLE makima.attempt (
    task_id    uuid NOT NULL REFERENCES makima.task,
    number     integer NOT NULL,
    daemon     text,
    agent      text NOT NULL,
    session    text,
    branch     text,
    started_at timestamptz NOT NULL DEFAULT makima.now(),
    ended_at   timestamptz,
    outcome    makima.attempt_outcome,
    reason     text,
    tail       text,
    exit_code  integer,
    cost_usd   numeric NOT NULL DEFAULT 0,
    tokens     bigint NOT NULL DEFAULT 0,
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
CREATE INDEX task_output_by_age ON makima.task_output USING brin (at);

CREATE TABLE makima.task_message (
    id           uuid PRIMARY KEY,
    task_id      uuid NOT NULL REFERENCES makima.task,
    text         text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT makima.now(),
    delivered_at timestamptz,
    delivered_as makima.delivered_as
);
CREATE INDEX task_message_undelivered ON makima.task_message (task_id) WHERE delivered_at IS NULL;

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

-- ==== Steps

CREATE TABLE makima.step (
    id             uuid PRIMARY KEY,
    directive_id   uuid NOT NULL REFERENCES makima.directive,
    number         integer NOT NULL,
    name           text NOT NULL,
    description    text NOT NULL DEFAULT '',
    task_plan      text NOT NULL DEFAULT '',
    files          text[] NOT NULL DEFAULT '{}',
    order_index    integer NOT NULL DEFAULT 0,
    generation     integer NOT NULL DEFAULT 0,
    status         makima.step_status NOT NULL DEFAULT 'pending',
    version        integer NOT NULL DEFAULT 1,

    agent          text,
    model          text,
    labels         text[] NOT NULL DEFAULT '{}',

    added_by       uuid REFERENCES makima.task,
    held_by        uuid REFERENCES makima.task,
    removed_by     uuid REFERENCES makima.task,
    skipped_for    uuid,

    task_id        uuid REFERENCES makima.task,
    branch         text,
    head           text,
    files_changed  text[] NOT NULL DEFAULT '{}',
    outcome        text NOT NULL DEFAULT '',
    reason         text,
    completed_at   timestamptz,
    delivered      boolean NOT NULL DEFAULT false,
    round          integer,
    branch_removed boolean NOT NULL DEFAULT false
);
COMMENT ON COLUMN makima.step.agent IS 'Who works on it; NULL: the agent of its directive.';
COMMENT ON COLUMN makima.step.model IS 'Which model that agent uses; NULL: the one of its settings.';
COMMENT ON COLUMN makima.step.labels IS 'What the daemon that runs it has to offer.';
COMMENT ON COLUMN makima.step.round IS 'The number of the pull request that it was delivered with; NULL: none, or before it was kept.';
COMMENT ON COLUMN makima.step.added_by IS 'The task whose agent added it; NULL for a person. Such a task may take it back.';
CREATE INDEX step_by_directive ON makima.step (directive_id, order_index, id);
CREATE INDEX step_by_number    ON makima.step (directive_id, number);
CREATE INDEX step_ready        ON makima.step (directive_id, order_index, id) WHERE status = 'ready';
CREATE INDEX step_unsettled    ON makima.step (directive_id, order_index)
    WHERE status IN ('pending', 'ready', 'running', 'failed');
CREATE INDEX step_completed    ON makima.step (directive_id, completed_at DESC) WHERE status = 'completed';
CREATE INDEX step_undelivered  ON makima.step (directive_id) WHERE status = 'completed' AND NOT delivered;
CREATE INDEX step_held         ON makima.step (held_by) WHERE held_by IS NOT NULL;
CREATE INDEX step_removed      ON makima.step (removed_by) WHERE removed_by IS NOT NULL;
CREATE INDEX step_proposed     ON makima.step (directive_id) WHERE held_by IS NOT NULL OR removed_by IS NOT NULL;
CREATE INDEX step_skipped_for  ON makima.step (skipped_for) WHERE skipped_for IS NOT NULL;

CREATE TABLE makima.step_dependency (
    step_id    uuid NOT NULL REFERENCES makima.step ON DELETE CASCADE,
    depends_on uuid NOT NULL REFERENCES makima.step ON DELETE CASCADE,
    position   integer NOT NULL,
    PRIMARY KEY (step_id, depends_on)
);
CREATE INDEX step_dependents ON makima.step_dependency (depends_on, step_id);

CREATE TABLE makima.plan_request (
    id           uuid PRIMARY KEY,
    directive_id uuid NOT NULL REFERENCES makima.directive,
    reason       text NOT NULL CHECK (reason IN ('goal', 'orders', 'failure', 'user')),
    payload      jsonb NOT NULL DEFAULT '{}',
    served_by    uuid REFERENCES makima.task,
    created_at   timestamptz NOT NULL DEFAULT makima.now()
);
CREATE INDEX plan_request_unserved     ON makima.plan_request (directive_id) WHERE served_by IS NULL;
CREATE INDEX plan_request_by_directive ON makima.plan_request (directive_id, created_at);
CREATE INDEX plan_request_by_task      ON makima.plan_request (served_by) WHERE served_by IS NOT NULL;

-- ==== Orders

CREATE TABLE makima.work_order (
    id           uuid PRIMARY KEY,
    owner_id     uuid NOT NULL REFERENCES makima.owner,
    number       integer NOT NULL,
    directive_id uuid REFERENCES makima.directive,
    title        text NOT NULL,
    description  text NOT NULL DEFAULT '',
    priority     text NOT NULL DEFAULT 'medium' CHECK (priority IN ('critical', 'high', 'medium', 'low', 'none')),
    order_type   text NOT NULL DEFAULT 'feature' CHECK (order_type IN ('feature', 'bug', 'spike', 'chore', 'improvement')),
    status       makima.order_status NOT NULL DEFAULT 'open',
    version      integer NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT makima.now()
);
CREATE INDEX work_order_by_owner     ON makima.work_order (owner_id, id);
CREATE UNIQUE INDEX work_order_by_number ON makima.work_order (owner_id, number);
CREATE INDEX work_order_by_directive ON makima.work_order (directive_id, id) WHERE directive_id IS NOT NULL;

CREATE TABLE makima.step_order (
    step_id  uuid NOT NULL REFERENCES makima.step ON DELETE CASCADE,
    order_id uuid NOT NULL REFERENCES makima.work_order,
    held_by  uuid REFERENCES makima.task,
    PRIMARY KEY (step_id, order_id)
);
CREATE INDEX step_order_by_order ON makima.step_order (order_id);
CREATE INDEX step_order_held     ON makima.step_order (held_by) WHERE held_by IS NOT NULL;

-- ==== The audit log, written in the transaction of each change; and what requests were answered

CREATE TABLE makima.event (
    seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    type         text NOT NULL,
    directive_id uuid,
    body         jsonb NOT NULL,
    at           timestamptz NOT NULL DEFAULT makima.now()
);
CREATE INDEX event_by_directive ON makima.event (directive_id, seq);
CREATE INDEX event_by_age       ON makima.event USING brin (at);

CREATE TABLE makima.idempotency_key (
    owner_id uuid NOT NULL REFERENCES makima.owner,
    key      text NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    request  text NOT NULL,
    headers  jsonb NOT NULL DEFAULT '{}',
    answer   jsonb,
    at       timestamptz NOT NULL DEFAULT makima.now(),
    PRIMARY KEY (owner_id, key)
);
CREATE INDEX idempotency_key_by_age ON makima.idempotency_key (at);
