-- A step may choose who works on it, with which model, and what its daemon has to offer.
ALTER TABLE makima.step ADD agent text, ADD model text, ADD labels text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN makima.step.agent IS 'Who works on it; NULL: the agent of its directive.';
COMMENT ON COLUMN makima.step.model IS 'Which model that agent uses; NULL: the one of its settings.';
COMMENT ON COLUMN makima.step.labels IS 'What the daemon that runs it has to offer.';

DROP FUNCTION IF EXISTS makima.enforce_plans(uuid[]);  -- which the definitions make again: it tells of orders, too
