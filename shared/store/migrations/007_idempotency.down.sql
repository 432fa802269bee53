DROP TABLE makima.idempotency_key;
