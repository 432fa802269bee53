-- name: due
-- Idle directives with completed steps that are not delivered and no live delivery (rule 11), a row a step.
-- Relies on directive_open, step_undelivered, task_one_live_delivery.
SELECT d.id, d.owner_id, d.title, d.repository_url, d.pr_branch, s.id AS step_id, s.branch, s.outcome,
       coalesce((SELECT array_agg(e.depends_on ORDER BY e.position)
                   FROM makima.step_dependency e WHERE e.step_id = s.id), '{}') AS depends_on
  FROM makima.directive d
  JOIN makima.step s ON s.directive_id = d.id AND s.status = 'completed' AND NOT s.delivered
 WHERE d.status = 'idle'
   AND (%(directives)s::uuid[] IS NULL OR d.id = ANY (%(directives)s))
   AND NOT EXISTS (SELECT FROM makima.task t
                    WHERE t.directive_id = d.id AND t.kind IN ('completion', 'verification')
                      AND (t.status IN ('pending', 'starting', 'running', 'paused')
                           OR t.status = 'completed' AND t.ended_at > coalesce(d.delivered_at, '-infinity')))
 ORDER BY d.id, s.order_index, s.completed_at, s.id;

-- name: deliver
-- Insert the completion tasks; inserting the row is the claim.
INSERT INTO makima.task (id, owner_id, directive_id, kind, name, agent, target_branch, merge_branches)
SELECT u.id, u.owner_id, u.directive_id, 'completion', 'deliver', 'native', u.target, u.merges::text[]
  FROM unnest(%(ids)s::uuid[], %(owners)s::uuid[], %(directives)s::uuid[], %(targets)s::text[], %(merges)s::text[])
       AS u (id, owner_id, directive_id, target, merges)
    ON CONFLICT DO NOTHING
RETURNING id, directive_id;

-- name: finished
-- Record deliveries that ended well: the branch, the steps that it holds, and the directive as completed.
WITH done AS (
    SELECT DISTINCT ON (t.directive_id) t.directive_id, t.branch, t.created_at, t.ended_at
      FROM makima.directive d
      JOIN makima.task t ON t.directive_id = d.id AND t.kind = 'completion' AND t.status = 'completed'
     WHERE d.status = 'idle' AND t.ended_at > coalesce(d.delivered_at, '-infinity')
       AND (%(directives)s::uuid[] IS NULL OR d.id = ANY (%(directives)s))
     ORDER BY t.directive_id, t.ended_at DESC
), steps AS (
    UPDATE makima.step s SET delivered = true
      FROM done
     WHERE s.directive_id = done.directive_id AND s.status = 'completed' AND s.completed_at <= done.created_at
)
UPDATE makima.directive d
   SET pr_branch = done.branch, delivered_at = done.ended_at, status = 'completed', version = d.version + 1
  FROM done
 WHERE d.id = done.directive_id AND d.status = 'idle'
RETURNING d.id, d.pr_branch;

-- name: without_repository
-- Directives without a repository have no branch: their last step's outcome is the delivery.
WITH done AS (
    UPDATE makima.directive d
       SET status = 'completed', delivered_at = makima.now(), version = d.version + 1
     WHERE d.status = 'idle' AND d.repository_url IS NULL
       AND (%(directives)s::uuid[] IS NULL OR d.id = ANY (%(directives)s))
    RETURNING d.id
), steps AS (
    UPDATE makima.step s SET delivered = true FROM done WHERE s.directive_id = done.id AND s.status = 'completed'
)
SELECT id FROM done;
