-- name: unsettled
-- Deliveries, verifications and looks at pull requests that ended well and of which nothing was drawn yet, with
-- their directives locked. Relies on task_unsettled_delivery.
SELECT t.id AS task_id, t.delivery, t.result, d.id, d.owner_id, d.title, d.goal, d.agent, d.status, d.on_failure,
       d.delivery_fixes, d.pr_url, d.pr_etag, d.pr_looks, d.generation, t.target_branch,
       coalesce((SELECT jsonb_agg(jsonb_build_object(
                     'id', s.id, 'name', s.name, 'description', s.description, 'outcome', left(s.outcome, 2000),
                     'status', s.status, 'branch', s.branch, 'order_index', s.order_index,
                     'depends_on', coalesce((SELECT jsonb_agg(e.depends_on) FROM makima.step_dependency e
                                              WHERE e.step_id = s.id), '[]'))
                     ORDER BY s.order_index, s.completed_at, s.id)
                   FROM makima.step s WHERE s.directive_id = d.id AND s.held_by IS NULL), '[]') AS steps
  FROM makima.task t
  JOIN makima.directive d ON d.id = t.directive_id
 WHERE t.kind NOT IN ({agent_kinds}) AND t.status = 'completed' AND NOT t.settled
   AND (%(directives)s::uuid[] IS NULL OR d.id = ANY (%(directives)s))
 ORDER BY d.id, t.id
   FOR NO KEY UPDATE OF d, t;

-- name: settle
-- Write what follows from them. A status changes only where the directive is idle: a person may have been faster. With
-- steps that completed while this was on its way it stays idle, and they are delivered next.
WITH new AS (
    SELECT u.*, u.left_out::uuid[] AS leave, u.removed::text[] AS gone, u.undelivered::uuid[] AS again,
           u.pushed::text[] AS heads
      FROM unnest(%(tasks)s::uuid[], %(directives)s::uuid[], %(statuses)s::text[], %(reasons)s::text[], %(branches)s::text[],
                  %(rounds)s::integer[], %(urls)s::text[], %(states)s::text[], %(etags)s::text[], %(looks_in)s::float[],
                  %(looks)s::integer[], %(delivered)s::boolean[], %(verified)s::boolean[], %(fixes)s::integer[],
                  %(left_outs)s::text[], %(removed)s::text[], %(heads)s::text[], %(undelivered)s::text[], %(forgotten)s::boolean[])
           AS u (task_id, id, status, reason, branch, round, url, state, etag, look_in, looks, delivered, verified, fixes,
                 left_out, removed, pushed, undelivered, forgotten)
), tasks AS (
    UPDATE makima.task t SET settled = true, version = t.version + 1 FROM new WHERE t.id = new.task_id
), ordered AS MATERIALIZED (
    SELECT (o.step ->> 'id')::uuid AS id
      FROM new JOIN makima.task t ON t.id = new.task_id
     CROSS JOIN LATERAL jsonb_array_elements(t.delivery -> 'steps') AS o (step)
     WHERE new.delivered
), held AS (
    UPDATE makima.step s SET delivered = true, 
           round = coalesce((SELECT new.round FROM new WHERE new.id = s.directive_id LIMIT 1), s.round),
           branch_removed = s.branch_removed
                            OR EXISTS (SELECT FROM new WHERE new.id = s.directive_id AND s.branch = ANY (new.gone))
     WHERE s.id = ANY (ARRAY(SELECT id FROM ordered))  -- by its key: joined, each step would be compared with each one
), lost AS (
    UPDATE makima.step s SET delivered = false FROM new WHERE s.directive_id = new.id AND s.id = ANY (new.again)
), cleaned AS (
    UPDATE makima.step s SET branch_removed = true
      FROM new WHERE s.directive_id = new.id AND s.branch = ANY (new.gone) AND s.id <> ALL (ARRAY(SELECT id FROM ordered))
)
UPDATE makima.directive d
   SET status = CASE WHEN d.status <> 'idle' OR new.status = 'completed' AND EXISTS (
                              SELECT FROM makima.step s
                               WHERE s.directive_id = d.id AND s.status = 'completed' AND NOT s.delivered
                                 AND s.branch IS NOT NULL AND s.id <> ALL (d.left_out || new.leave)
                                 AND s.completed_at > (SELECT t.created_at FROM makima.task t WHERE t.id = new.task_id))
                     THEN d.status ELSE coalesce(new.status::makima.directive_status, d.status) END,
       pause_reason = CASE WHEN d.status = 'idle' AND new.status = 'paused' THEN new.reason ELSE d.pause_reason END,
       paused_for = CASE WHEN d.status = 'idle' AND new.status = 'paused' THEN 'delivery' ELSE d.paused_for END,
       pr_branch = coalesce(new.branch, d.pr_branch), pr_round = coalesce(new.round, d.pr_round),
       pr_url = CASE WHEN NOT new.forgotten THEN coalesce(new.url, d.pr_url) END,
       pr_state = CASE WHEN NOT new.forgotten THEN coalesce(new.state, d.pr_state) END,
       pr_etag = CASE WHEN NOT new.forgotten THEN coalesce(new.etag, d.pr_etag) END, pr_looks = new.looks,
       delivered_heads = ARRAY(SELECT h FROM unnest(d.delivered_heads) AS h WHERE h <> ALL (new.heads)) || new.heads,
       delivery_outcome = coalesce(new.reason, d.delivery_outcome),
       pr_look_at = makima.now() + new.look_in * interval '1 second',
       delivered_at = CASE WHEN new.delivered THEN makima.now() ELSE d.delivered_at END,
       verified = CASE WHEN new.delivered OR new.forgotten THEN new.verified ELSE d.verified OR new.verified END,
       delivery_fixes = CASE WHEN new.delivered THEN 0 ELSE d.delivery_fixes + new.fixes END,
       left_out = CASE WHEN new.delivered THEN d.left_out ELSE d.left_out || new.leave END,
       version = d.version + 1
  FROM new, makima.directive old
 WHERE d.id = new.id AND old.id = d.id
RETURNING d.id, d.status, old.status AS before, d.pr_branch, d.pr_url, new.reason, new.delivered;

-- name: add_fixes
-- Steps that mend what breaks the check, each depending on the steps that break it, so that it starts from just those.
WITH new AS (
    SELECT u.*, u.needs::uuid[] AS all_needs
      FROM unnest(%(ids)s::uuid[], %(directives)s::uuid[], %(names)s::text[], %(plans)s::text[], %(indexes)s::integer[],
                  %(generations)s::integer[], %(needs)s::text[])
           AS u (id, directive_id, name, plan, order_index, generation, needs)
), added AS (
    INSERT INTO makima.step (id, directive_id, name, description, task_plan, order_index, generation, status)
    SELECT id, directive_id, name, %(description)s::text, plan, order_index, generation, 'ready' FROM new
)
INSERT INTO makima.step_dependency (step_id, depends_on, position)
SELECT new.id, n.need, n.at - 1 FROM new CROSS JOIN LATERAL unnest(new.all_needs) WITH ORDINALITY AS n (need, at);

-- name: due
-- Idle directives with completed steps that are not delivered and no live delivery (rule 11), a row a directive with
-- all of its steps. Relies on directive_by_status.
SELECT d.id, d.owner_id, d.title, d.goal, d.repository_url, d.pr_branch, d.pr_url, d.pr_state, d.pr_round,
       d.merge_into_base, d.check_command, d.left_out, d.delivered_heads, told.seconds, told.usd, told.tokens,
       coalesce(told.steps, '[]') AS steps
  FROM makima.directive d JOIN makima.delivery_told told ON told.id = d.id
 WHERE d.status = 'idle' AND d.repository_url IS NOT NULL
   AND d.id = ANY (coalesce(%(directives)s::uuid[], ARRAY(SELECT id FROM makima.directive WHERE status = 'idle')))
   AND (SELECT true FROM makima.undelivered_step u WHERE u.directive_id = d.id LIMIT 1)
   AND (SELECT true FROM makima.open_delivery o WHERE o.directive_id = d.id LIMIT 1) IS NULL
 ORDER BY d.id;

-- name: looks_due
-- Idle directives whose pull request is to be looked for (rule 12: delivered, a forge expected, none known), or whose
-- open pull request is to be looked at. Relies on directive_by_status.
SELECT d.id, d.owner_id, d.title, d.goal, d.repository_url, d.pr_branch, d.pr_url, d.pr_round, d.pr_etag, d.left_out,
       d.delivered_heads, CASE WHEN d.pr_url IS NULL THEN 'verify' ELSE 'watch' END AS action, told.seconds, told.usd,
       told.tokens, told.steps AS all_steps,
       coalesce((SELECT jsonb_agg(jsonb_build_object('id', s.id, 'name', s.name, 'branch', s.branch, 'head', s.head))
                   FROM makima.step s
                  WHERE s.directive_id = d.id AND s.status = 'completed' AND s.branch IS NOT NULL AND s.delivered
                    AND NOT s.branch_removed AND s.id <> ALL (d.left_out)), '[]') AS steps
  FROM makima.directive d LEFT JOIN makima.delivery_told told ON told.id = d.id AND d.pr_url IS NULL
 WHERE d.status = 'idle' AND d.delivered_at IS NOT NULL
   AND d.id = ANY (coalesce(%(directives)s::uuid[], ARRAY(SELECT id FROM makima.directive WHERE status = 'idle')))
   AND (d.pr_url IS NULL AND NOT d.verified OR d.pr_state = 'open' AND d.pr_look_at <= makima.now())
   AND (SELECT true FROM makima.undelivered_step u WHERE u.directive_id = d.id LIMIT 1) IS NULL
   AND (SELECT true FROM makima.open_delivery o WHERE o.directive_id = d.id LIMIT 1) IS NULL
 ORDER BY d.id;

-- name: next_look
-- Seconds until the next pull request is looked at. Relies on directive_watched.
SELECT extract(epoch FROM min(d.pr_look_at) - makima.now())::float AS seconds
  FROM makima.directive d WHERE d.status = 'idle' AND d.pr_state = 'open' AND d.pr_look_at > makima.now();

-- name: order
-- Insert completion and verification tasks; inserting the row is the claim.
INSERT INTO makima.task (id, owner_id, directive_id, kind, name, agent, prompt, target_branch, merge_branches, delivery)
SELECT u.id, u.owner_id, u.directive_id, u.kind::makima.task_kind, u.name, u.agent, u.prompt, u.target, u.merges::text[], u.delivery
  FROM unnest(%(ids)s::uuid[], %(owners)s::uuid[], %(directives)s::uuid[], %(kinds)s::text[], %(names)s::text[],
              %(agents)s::text[], %(prompts)s::text[], %(targets)s::text[], %(merges)s::text[], %(deliveries)s::jsonb[])
       AS u (id, owner_id, directive_id, kind, name, agent, prompt, target, merges, delivery)
    ON CONFLICT DO NOTHING
RETURNING id, directive_id, kind;

-- name: nothing_left
-- Idle directives in which nothing is left to deliver, nothing is under way and no pull request is waited for, locked, with
-- what decides what becomes of them: none stays idle without a word. Relies on directive_by_status.
SELECT d.id, d.repository_url IS NOT NULL AS has_repository, d.delivered_at IS NOT NULL AS delivered, d.pr_url, d.pr_state,
       d.left_out <> '{}' AS left_out
  FROM makima.directive d
 WHERE d.status = 'idle'
   AND d.id = ANY (coalesce(%(directives)s::uuid[], ARRAY(SELECT id FROM makima.directive WHERE status = 'idle')))
   AND (d.repository_url IS NULL
        OR (d.delivered_at IS NULL OR d.pr_state IN ('merged', 'closed') OR d.pr_url IS NULL AND d.verified)
           AND (SELECT true FROM makima.undelivered_step u WHERE u.directive_id = d.id LIMIT 1) IS NULL
           AND (SELECT true FROM makima.open_delivery o WHERE o.directive_id = d.id LIMIT 1) IS NULL)
 ORDER BY d.id
   FOR NO KEY UPDATE OF d;

-- name: conclude
-- Idle directives are completed, or paused with the reason. Without a repository, its steps' outcomes are the delivery.
WITH over AS (
    UPDATE makima.directive d
       SET status = u.status::makima.directive_status, pause_reason = CASE WHEN u.status = 'paused' THEN u.reason END,
           paused_for = CASE WHEN u.status = 'paused' THEN 'delivery'::makima.pause_cause END,
           delivered_at = CASE WHEN d.repository_url IS NULL THEN makima.now() ELSE d.delivered_at END,
           version = d.version + 1
      FROM unnest(%(directives)s::uuid[], %(statuses)s::text[], %(reasons)s::text[]) AS u (id, status, reason)
     WHERE d.id = u.id
    RETURNING d.id, d.repository_url
)
UPDATE makima.step s SET delivered = true FROM over
 WHERE over.repository_url IS NULL AND s.directive_id = over.id AND s.completed_at IS NOT NULL;
