DROP TRIGGER number_step ON makima.step;
DROP TRIGGER number_directive ON makima.directive;
DROP FUNCTION makima.number_step();
DROP FUNCTION makima.number_directive();
ALTER TABLE makima.idempotency_key DROP headers;
ALTER TABLE makima.step DROP number;
ALTER TABLE makima.directive DROP number;
ALTER TABLE makima.owner DROP directives;
