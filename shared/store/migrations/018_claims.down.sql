ALTER TABLE makima.task DROP refusal;
DROP VIEW makima.free_slots;
