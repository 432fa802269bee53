-- Which step serves an order, said by a planning: it comes into force with the plan, as its steps do.

ALTER TABLE makima.step_order ADD held_by uuid REFERENCES makima.task;
CREATE INDEX step_order_held ON makima.step_order (held_by) WHERE held_by IS NOT NULL;
