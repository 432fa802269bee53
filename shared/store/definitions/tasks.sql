-- A task as it is sent to a daemon. A shell task gets its plan as it stands, and starts again from what it left behind.
-- `agent_chosen`: somebody chose the task's agent, for its step or its directive. If not, the repository's own settings
-- may name another, and the task is sent with what either kind of agent takes: its prompt, and its plan as it stands.
-- Without a `check_command` its directive goes on without a check. `base_unjudged`: it begins at the base branch, whose
-- check no planning has run. What a step asks for counts as it stands now.
CREATE VIEW makima.task_to_send AS
SELECT t.id, t.owner_id, (SELECT o.name FROM makima.owner o WHERE o.id = t.owner_id) AS owner, t.directive_id, t.step_id, t.kind, t.name, t.prompt, coalesce(s.agent, t.agent) AS agent, t.attempt,
       t.session, t.daemon, coalesce(t.kept_branch, t.start_from) AS start_from,
       CASE WHEN t.kept_branch IS NULL THEN t.merge_branches ELSE '{}' END AS merge_branches,
       t.target_branch, t.delivery, t.tokens, d.repository_url, d.base_branch,
       (SELECT a.daemon FROM makima.attempt a
         WHERE a.task_id = t.id AND a.session = t.session ORDER BY a.number DESC LIMIT 1) AS session_daemon,
       CASE WHEN coalesce(s.agent, t.agent) <> 'shell' AND coalesce(s.agent, d.agent) IS NOT NULL THEN NULL
            WHEN t.kind = 'plan' THEN d.goal
            ELSE coalesce(s.task_plan, t.prompt) END AS task_plan,
       failed.reason AS failed_reason, failed.tail AS failed_tail,
       coalesce(s.agent, d.agent) IS NOT NULL OR t.kind NOT IN ({agent_kinds}) AS agent_chosen,
       t.kind = 'step' AND t.start_from IS NULL AND t.merge_branches = '{}' AND d.generation = 0 AS base_unjudged,
       d.check_command, s.model, coalesce(s.labels, '{}') AS labels
  FROM makima.task t
  JOIN makima.directive d ON d.id = t.directive_id
  LEFT JOIN makima.step s ON s.id = t.step_id
  LEFT JOIN LATERAL (
       SELECT a.reason, a.tail FROM makima.attempt a
        WHERE a.task_id = t.id AND a.outcome = 'failed' ORDER BY a.number DESC LIMIT 1) AS failed ON true;
