-- The server, this database, and the rights of our two roles.
select
    pg_is_in_recovery() as standby,
    current_setting('server_encoding') as encoding,
    current_setting('wal_level') as wal_level,
    (select coalesce(array_agg(name order by name), '{}') from pg_settings
     where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting = 'off') as settings_off,
    current_setting('max_replication_slots')::int - (select count(*)::int from pg_replication_slots) as slots_free,
    exists (select from pg_replication_slots where slot_name = %(slot)s and database = current_database())
        as slot_ours,
    current_setting('max_wal_senders')::int - (select count(*)::int from pg_stat_replication) as walsenders_free,
    array_remove(array[
        case when not (select rolreplication or rolsuper from pg_roles where rolname = current_user)
            then 'the attribute REPLICATION for ' || current_user end,
        case when not has_database_privilege(current_database(), 'create')
            then 'CREATE on the database for ' || current_user end,
        case when not pg_has_role('pg_monitor', 'usage') then 'membership in pg_monitor for ' || current_user end,
        case when not has_function_privilege('pg_control_system()', 'execute')
            then 'EXECUTE on pg_control_system() for ' || current_user end,
        case when not has_function_privilege('pg_replication_origin_drop(text)', 'execute')
            then 'EXECUTE on pg_replication_origin_drop(text) for ' || current_user end,
        case when not has_parameter_privilege('session_replication_role', 'set')
            then 'SET on session_replication_role for ' || current_user end,
        case when applier.oid is null then 'a role ' || %(applier)s end,
        case when not has_parameter_privilege(applier.oid, 'session_replication_role', 'set')
            then 'SET on session_replication_role for ' || %(applier)s end,
        case when not has_function_privilege(applier.oid, 'pg_replication_origin_create(text)', 'execute')
            then 'EXECUTE on pg_replication_origin_create(text) for ' || %(applier)s end,
        case when not has_function_privilege(applier.oid, 'pg_replication_origin_session_setup(text)', 'execute')
            then 'EXECUTE on pg_replication_origin_session_setup(text) for ' || %(applier)s end,
        case when not has_function_privilege(
                applier.oid, 'pg_replication_origin_xact_setup(pg_lsn, timestamptz)', 'execute')
            then 'EXECUTE on pg_replication_origin_xact_setup(pg_lsn, timestamptz) for ' || %(applier)s end
    ], null) as missing_rights,
    to_regnamespace('cutover') is not null and to_regclass('cutover.fence_state') is null as foreign_schema,
    to_regclass('cutover.fence_state') is not null as installed,
    (select coalesce(array_agg(gid order by prepared), '{}') from pg_prepared_xacts) as prepared,
    exists (select from pg_largeobject_metadata) as large_objects
from (values (true)) as one left join pg_roles as applier on rolname = %(applier)s
