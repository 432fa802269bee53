-- name: serve_orders
-- Which orders steps serve: only the directive's own that are not cancelled. What a planning says is held with its plan,
-- and counts at once when a person says the same.
INSERT INTO makima.step_order AS so (step_id, order_id, held_by)
SELECT DISTINCT u.step_id, o.id, %(held_by)s::uuid
  FROM unnest(%(steps)s::uuid[], %(orders)s::uuid[]) AS u (step_id, order_id)
  JOIN makima.work_order o ON o.id = u.order_id AND o.directive_id = %(directive)s AND o.status <> 'cancelled'
    ON CONFLICT (step_id, order_id) DO UPDATE SET held_by = NULL
 WHERE so.held_by IS NOT NULL AND excluded.held_by IS NULL
RETURNING order_id;

-- name: orders_of_steps
SELECT DISTINCT order_id FROM makima.step_order WHERE step_id = ANY (%(steps)s);

-- name: settle_orders
SELECT * FROM makima.settle_orders(ARRAY(
    SELECT DISTINCT so.order_id FROM makima.step_order so WHERE so.step_id = ANY (%(steps)s)));

-- name: settle_these_orders
SELECT * FROM makima.settle_orders(%(orders)s::uuid[]);

-- name: add_order
INSERT INTO makima.work_order (id, owner_id, directive_id, title, description, priority, order_type)
VALUES (%(id)s, %(owner)s, %(directive)s, %(title)s, %(description)s, %(priority)s, %(order_type)s)
RETURNING id, number, title, description, priority, order_type, status, directive_id, created_at, version, '{}'::uuid[] AS steps;

-- name: list_orders
-- Orders, the most urgent first (work_order_by_owner).
SELECT o.id, o.number, o.title, o.description, o.priority, o.order_type, o.status, o.directive_id, o.created_at, o.version,
       ARRAY(SELECT so.step_id FROM makima.step_order so WHERE so.order_id = o.id ORDER BY so.step_id) AS steps
  FROM makima.work_order o
 WHERE o.owner_id = %(owner)s AND (%(directive)s::uuid IS NULL OR o.directive_id = %(directive)s)
   AND (%(status)s::text IS NULL OR o.status::text = %(status)s)
   AND (%(after_id)s::uuid IS NULL
        OR (array_position(ARRAY['critical', 'high', 'medium', 'low', 'none'], o.priority), o.id)
         > (array_position(ARRAY['critical', 'high', 'medium', 'low', 'none'], %(after_priority)s::text), %(after_id)s::uuid))
 ORDER BY array_position(ARRAY['critical', 'high', 'medium', 'low', 'none'], o.priority), o.id LIMIT %(limit)s;

-- name: link_order
UPDATE makima.work_order o SET directive_id = %(directive)s, version = o.version + 1
 WHERE o.id = %(order)s AND o.owner_id = %(owner)s AND o.status = 'open'
RETURNING o.id, o.number, o.title, o.description, o.priority, o.order_type, o.status, o.directive_id, o.created_at, o.version,
          ARRAY(SELECT so.step_id FROM makima.step_order so WHERE so.order_id = o.id ORDER BY so.step_id) AS steps;

-- name: show_order
-- An order of a directive.
SELECT o.id, o.number, o.title, o.description, o.priority, o.order_type, o.status, o.directive_id, o.created_at, o.version,
       ARRAY(SELECT so.step_id FROM makima.step_order so WHERE so.order_id = o.id ORDER BY so.step_id) AS steps
  FROM makima.work_order o WHERE o.id = %(order)s AND o.owner_id = %(owner)s AND o.directive_id = %(directive)s;

-- name: own_order
SELECT o.id FROM makima.work_order o WHERE o.id = %(order)s AND o.owner_id = %(owner)s;

-- name: order_of_step
SELECT order_id FROM makima.step_order WHERE step_id = %(step)s AND order_id = %(order)s;

-- name: step_in_force
-- A step of a directive that isn't about to go.
SELECT id FROM makima.step WHERE id = %(step)s AND directive_id = %(directive)s AND removed_by IS NULL;

-- name: cancel_order
UPDATE makima.work_order o SET status = 'cancelled', version = o.version + 1
 WHERE o.id = %(order)s AND o.owner_id = %(owner)s AND o.status IN ('open', 'in_progress')
RETURNING o.id, o.number, o.title, o.description, o.priority, o.order_type, o.status, o.directive_id, o.created_at, o.version,
          ARRAY(SELECT so.step_id FROM makima.step_order so WHERE so.order_id = o.id ORDER BY so.step_id) AS steps;

-- name: open_orders
SELECT count(*)::integer AS open FROM makima.work_order WHERE directive_id = %(directive)s AND status = 'open';
