DROP INDEX makima.task_refused;
ALTER TABLE makima.task DROP refused_attempt, DROP refused_since;
