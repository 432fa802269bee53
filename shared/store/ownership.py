"""What makes the services' role own the database, once: earlier versions worked as the superuser."""

from shared.config.embedded_url import SERVICES

_ITEMS = """
    SELECT format('SCHEMA %I', nspname) AS what FROM pg_namespace WHERE nspname = 'makima'
    UNION ALL
    SELECT format('%s %s', CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass)
      FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
     WHERE (nspname = 'makima' OR relname = 'makima_migration') AND relkind IN ('r', 'p', 'v', 'S')
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i') AND relkind = 'S')
    UNION ALL
    SELECT format('ROUTINE %s', p.oid::regprocedure) FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
     WHERE nspname = 'makima'
    UNION ALL
    SELECT format('TYPE %s', t.oid::regtype) FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace
     WHERE nspname = 'makima' AND typtype IN ('e', 'd')
"""
_CHANGE = f"FOR item IN {_ITEMS} LOOP EXECUTE 'ALTER ' || item.what || ' OWNER TO {SERVICES}'; END LOOP;"
HAND_OVER = (
    f"ALTER DATABASE makima OWNER TO {SERVICES};",
    " ".join(f"DO $$ DECLARE item record; BEGIN {_CHANGE} END $$;".split()),
)
"""Statements of one line each. They may be carried out again."""
