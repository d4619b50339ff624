"""What the shop is: tables that the engine has never seen, some rows and pictures, and its plan.

Quoted names, composite keys, types of its own, a trigger of its own, objects that no
column has a digest of.
"""

SCHEMA = """
CREATE SCHEMA "Shop";
CREATE TYPE "Shop".state AS ENUM ('new', 'paid', 'sent');
CREATE DOMAIN "Shop".amount AS numeric(14, 3) CHECK (VALUE >= 0);

CREATE TABLE "Shop"."Customers" (
    "Id" uuid PRIMARY KEY,
    "E-Mail" text NOT NULL UNIQUE,
    born date,
    tags text[] NOT NULL DEFAULT '{}',
    profile jsonb,
    photo bytea
);
CREATE TABLE "Shop"."Orders" (
    "No" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer uuid NOT NULL REFERENCES "Shop"."Customers",
    state "Shop".state NOT NULL DEFAULT 'new',
    placed timestamptz NOT NULL DEFAULT clock_timestamp(),
    changes integer NOT NULL DEFAULT 0
);
CREATE TABLE "Shop"."Order Items" (
    "Line" integer NOT NULL,
    "Order No" bigint NOT NULL REFERENCES "Shop"."Orders" ON DELETE CASCADE,
    sku text NOT NULL,
    price "Shop".amount NOT NULL,
    pieces integer NOT NULL,
    total numeric GENERATED ALWAYS AS (price * pieces) STORED,
    PRIMARY KEY ("Order No", "Line")
);
CREATE TABLE visits (page text PRIMARY KEY, hits bigint NOT NULL, "last hit" timestamptz);
CREATE TABLE pictures (id bigserial PRIMARY KEY, title text NOT NULL, "bucket key" text);

CREATE FUNCTION count_changes() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN NEW.changes := OLD.changes + 1; RETURN NEW; END';
CREATE TRIGGER count_changes BEFORE UPDATE ON "Shop"."Orders"
    FOR EACH ROW EXECUTE FUNCTION count_changes();
"""

ROWS = """
INSERT INTO "Shop"."Customers" SELECT md5('c' || n)::uuid, 'c' || n || '@example.org', DATE '1970-01-01' + n,
    ARRAY['a', 'b ' || n, NULL], jsonb_build_object('n', n, 'ü', '"quoted" \\ \t'), sha256(n::text::bytea)
    FROM generate_series(1, 500) AS n;
INSERT INTO "Shop"."Orders" (customer, state) SELECT md5('c' || n)::uuid, 'paid'
    FROM generate_series(1, 500) AS n;
INSERT INTO "Shop"."Order Items" ("Order No", "Line", sku, price, pieces)
    SELECT n, line, 'sku''' || line, n * 1.125, line
    FROM generate_series(1, 500) AS n, generate_series(1, 4) AS line;
INSERT INTO visits SELECT 'page ' || n, n, NULL FROM generate_series(0, 19) AS n;
"""

PLAN = """\
schema: 1
name: shop
stack: {stack}
source: east
target: west
gates: {gates}
lease: {{seconds: 2.0, margin: 0.5}}
deletes: {deletes}
tables:
  - {{name: Shop.Customers, key: [Id], merge: record}}
  - {{name: Shop.Orders, key: ["No"], merge: record}}
  - {{name: Shop.Order Items, key: [Order No, Line], merge: append}}
  - {{name: visits, key: [page], merge: counter, counters: [hits]}}
  - name: pictures
    key: [id]
    merge: record
    objects: [{{key: bucket key}}]
"""

TABLES = {
    '"Shop"."Customers"': '"Id"',
    '"Shop"."Orders"': '"No"',
    '"Shop"."Order Items"': '"Order No", "Line"',
    "visits": "page",
    "pictures": "id",
}

PICTURES = {f"pictures/{n:02} ü&.jpg": bytes([n]) * (n * 700) for n in range(24)}

CATALOG = """
SELECT 'schema', nspname::text, '' FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'
UNION ALL SELECT 'relation', concat(relnamespace::regnamespace, '.', relname), concat(relkind, relreplident)
    FROM pg_class WHERE relnamespace::regnamespace::text NOT IN ('pg_catalog', 'pg_toast')
UNION ALL SELECT 'identity index', indexrelid::regclass::text, '' FROM pg_index WHERE indisreplident
UNION ALL SELECT 'trigger', concat(tgrelid::regclass, ' ', tgname), tgenabled::text
    FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'function', oid::regprocedure::text, '' FROM pg_proc WHERE oid >= 16384
UNION ALL SELECT 'type', oid::regtype::text, '' FROM pg_type
    WHERE oid >= 16384 AND typrelid = 0 AND typelem = 0
UNION ALL SELECT 'publication', pubname::text, '' FROM pg_publication
UNION ALL SELECT 'slot', slot_name::text, '' FROM pg_replication_slots
UNION ALL SELECT 'origin', roname, '' FROM pg_replication_origin
UNION ALL SELECT 'event trigger', evtname::text, '' FROM pg_event_trigger
UNION ALL SELECT 'setting', concat(setdatabase, ' ', setrole), setconfig::text FROM pg_db_role_setting
UNION ALL SELECT 'prepared', gid, '' FROM pg_prepared_xacts
"""
"""What a migration could leave behind in a database, or in its server."""
