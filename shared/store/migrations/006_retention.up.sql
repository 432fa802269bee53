-- What is deleted by age is found by age: block ranges, since rows come in the order of time.
CREATE INDEX task_output_by_age ON makima.task_output USING brin (at);
CREATE INDEX event_by_age       ON makima.event USING brin (at);
