DROP VIEW IF EXISTS makima.free_slots;  -- which earlier versions did not have
ALTER TABLE makima.task DROP refusal;
