-- How many more tasks each owner's connected daemons may take, within what the owner allows. Relies on task_on_a_daemon.
CREATE VIEW makima.free_slots AS
SELECT w.owner_id,
       least(w.capacity, (SELECT o.max_running FROM makima.owner o WHERE o.id = w.owner_id))
       - (SELECT count(*) FROM makima.task t
           WHERE t.owner_id = w.owner_id AND t.status IN ('starting', 'running', 'paused')) AS free
  FROM (SELECT owner_id, sum(capacity) AS capacity
          FROM makima.daemon WHERE connected AND NOT draining GROUP BY owner_id) AS w;

-- Why no daemon could take a task, as a word that statements compare; waiting_reason says it to people.
ALTER TABLE makima.task ADD refusal text;
COMMENT ON COLUMN makima.task.refusal IS 'The kind of the reason for which refused_attempt was refused.';
