-- Short numbers of orders, each among its owner's, as directives have them.

ALTER TABLE makima.owner ADD orders integer NOT NULL DEFAULT 0;
ALTER TABLE makima.work_order ADD number integer;

UPDATE makima.work_order o SET number = n.number
  FROM (SELECT id, row_number() OVER (PARTITION BY owner_id ORDER BY id) AS number FROM makima.work_order) n
 WHERE n.id = o.id;
UPDATE makima.owner w SET orders = (SELECT count(*) FROM makima.work_order o WHERE o.owner_id = w.id);

CREATE UNIQUE INDEX work_order_by_number ON makima.work_order (owner_id, number);

ALTER TABLE makima.work_order ALTER number SET NOT NULL;
