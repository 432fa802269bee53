ALTER TABLE makima.task DROP commits;
