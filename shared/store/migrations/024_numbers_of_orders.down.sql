DROP TRIGGER number_order ON makima.work_order;
DROP FUNCTION makima.number_order();
ALTER TABLE makima.work_order DROP number;
ALTER TABLE makima.owner DROP orders;
