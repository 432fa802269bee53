ALTER TABLE makima.owner DROP COLUMN max_daemons, DROP COLUMN max_cost_usd_a_day;
DROP TABLE makima.person_token;
DROP TABLE makima.member;
DROP TABLE makima.person;
DROP TYPE makima.role;
