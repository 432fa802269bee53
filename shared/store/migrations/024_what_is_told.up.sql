-- A task that is sent says whether its directive goes on without a check.
CREATE OR REPLACE VIEW makima.task_to_send AS
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
       d.agent IS NOT NULL OR t.kind NOT IN ('plan', 'step') AS agent_chosen,
       d.check_command
  FROM makima.task t
  JOIN makima.directive d ON d.id = t.directive_id
  LEFT JOIN LATERAL (
       SELECT a.reason, a.tail FROM makima.attempt a
        WHERE a.task_id = t.id AND a.outcome = 'failed' ORDER BY a.number DESC LIMIT 1) AS failed ON true;
