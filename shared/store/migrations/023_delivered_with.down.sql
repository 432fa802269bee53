DROP VIEW IF EXISTS makima.delivery_told;  -- which the definitions of that version make again
ALTER TABLE makima.step DROP round;
