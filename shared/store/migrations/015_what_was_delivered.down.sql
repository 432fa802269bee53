DROP VIEW makima.delivery_told;
ALTER TABLE makima.task DROP base_commit;
ALTER TABLE makima.directive DROP delivered_heads, DROP delivery_outcome;
