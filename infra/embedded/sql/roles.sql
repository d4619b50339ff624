-- The roles that cutover works with, and what each may do. Run it as a superuser,
-- in the database that is to be moved, at both sites; it can be run again.
-- PostgreSQL 15 or newer. Passwords are set apart, so that none stands in a file.
--
--   platform         owns the tables that are moved (if yours is called otherwise, change the name)
--   cutover_admin    puts fence, publication and slots in place, reads the log, backfills
--   cutover_applier  writes what comes from the other site; the fence knows it by this name
--   checker          reads everything, changes nothing

DO $$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT * FROM (VALUES
            ('platform', 'LOGIN'),
            ('cutover_admin', 'LOGIN REPLICATION'),
            ('cutover_applier', 'LOGIN REPLICATION'),
            ('checker', 'LOGIN')
        ) AS roles (name, attributes)
    LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name) THEN
            EXECUTE format('CREATE ROLE %I %s', wanted.name, wanted.attributes);
        END IF;
    END LOOP;
    EXECUTE format('GRANT CONNECT, CREATE ON DATABASE %I TO platform, cutover_admin', current_database());
END
$$;

-- Triggers and publications need the rights of the tables' owner, rows need its writes.
GRANT platform TO cutover_admin;
GRANT platform TO cutover_applier;

-- The way to pass by the user's own triggers: the source's cascades are in its log, and a merge of
-- what two sites wrote apart (by cutover_admin, whom the fence does not let pass) fires none.
GRANT SET ON PARAMETER session_replication_role TO cutover_admin, cutover_applier;

-- Where the applier is in the source's log, kept in the same commit as the rows.
GRANT EXECUTE ON FUNCTION
    pg_replication_origin_create(text),
    pg_replication_origin_drop(text),
    pg_replication_origin_oid(text),
    pg_replication_origin_session_setup(text),
    pg_replication_origin_session_reset(),
    pg_replication_origin_session_is_setup(),
    pg_replication_origin_session_progress(boolean),
    pg_replication_origin_xact_setup(pg_lsn, timestamptz),
    pg_replication_origin_xact_reset(),
    pg_replication_origin_advance(text, pg_lsn),
    pg_replication_origin_progress(text, boolean),
    pg_show_replication_origin_status()
TO cutover_admin, cutover_applier;
GRANT SELECT ON pg_replication_origin TO cutover_admin, cutover_applier;
GRANT SELECT ON pg_replication_origin_status TO cutover_admin, cutover_applier;

-- Settings, sessions and slots of others, for preflight and status; identity of the server.
GRANT pg_monitor TO cutover_admin, checker;
GRANT EXECUTE ON FUNCTION pg_control_system(), pg_control_checkpoint(), pg_control_init()
TO cutover_admin, cutover_applier;

GRANT pg_read_all_data TO checker;
