ALTER TABLE makima.daemon DROP COLUMN connected_at;
DROP TABLE makima.owner_spending;
