DROP TABLE makima.daemon_key;
DROP TYPE makima.key_status;
