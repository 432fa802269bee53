DROP INDEX makima.event_by_age;
DROP INDEX makima.task_output_by_age;
