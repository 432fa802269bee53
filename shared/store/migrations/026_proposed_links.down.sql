DELETE FROM makima.step_order WHERE held_by IS NOT NULL;
ALTER TABLE makima.step_order DROP held_by;
