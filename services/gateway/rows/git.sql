-- name: git_task
-- The task of a token of a daemon's git, as long as its attempt is live, with what says which refs it pushes.
SELECT t.id, t.directive_id, t.kind, t.name, t.target_branch, t.delivery, d.repository_url, d.base_branch
  FROM makima.task t JOIN makima.directive d ON d.id = t.directive_id
 WHERE t.id = %(task)s AND t.attempt = %(attempt)s AND t.status IN ({on_a_daemon});
