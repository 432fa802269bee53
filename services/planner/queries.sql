-- name: due
-- Active directives with unserved plan requests and no live plan task (rule 3).
-- Relies on plan_request_unserved and task_one_live_planning.
SELECT d.id, d.owner_id, d.title, d.goal, d.repository_url, d.generation,
       coalesce(d.agent, %(agent)s) AS agent,
       array_agg(r.id) AS requests
  FROM makima.plan_request r
  JOIN makima.directive d ON d.id = r.directive_id AND d.status = 'active'
 WHERE r.served_by IS NULL
   AND (%(directives)s::uuid[] IS NULL OR d.id = ANY (%(directives)s))
   AND NOT EXISTS (SELECT FROM makima.task t
                    WHERE t.directive_id = d.id AND t.kind = 'plan'
                      AND t.status IN ('pending', 'starting', 'running', 'paused'))
 GROUP BY d.id;

-- name: plan
-- Insert the plan tasks (inserting the row is the claim) and let each serve its directive's requests.
WITH due AS (
    SELECT *
      FROM unnest(%(ids)s::uuid[], %(owners)s::uuid[], %(directives)s::uuid[], %(prompts)s::text[], %(agents)s::text[])
           AS u (id, owner_id, directive_id, prompt, agent)
), claimed AS (
    INSERT INTO makima.task (id, owner_id, directive_id, kind, name, prompt, agent)
    SELECT id, owner_id, directive_id, 'plan', 'plan', prompt, agent FROM due
        ON CONFLICT DO NOTHING
    RETURNING id, directive_id
), served AS (
    UPDATE makima.plan_request r SET served_by = claimed.id
      FROM claimed
     WHERE r.directive_id = claimed.directive_id AND r.served_by IS NULL
)
SELECT id, directive_id FROM claimed;
