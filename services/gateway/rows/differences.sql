-- name: step_commits
-- The commits of a step's newest work, the oldest first.
SELECT d.repository_url, coalesce(t.commits, '[]') AS commits
  FROM makima.step s
  JOIN makima.directive d ON d.id = s.directive_id AND d.owner_id = %(owner)s
  LEFT JOIN makima.task t ON t.id = s.task_id
 WHERE s.id = %(step)s AND s.directive_id = %(directive)s;

-- name: delivered_branch
SELECT d.repository_url, d.base_branch, d.pr_branch FROM makima.directive d
 WHERE d.id = %(directive)s AND d.owner_id = %(owner)s;
