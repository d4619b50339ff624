-- How far this site follows its peer, and whether its own log is kept.
select
    (select position from cutover.applied) as applied,
    exists (select from cutover.follow) as following,
    (select brake from cutover.follow) as brake,
    (select count(*) from cutover.copying where not done) as tables_pending,
    (select coalesce(sum(rows), 0)::bigint from cutover.copying) as rows_copied,
    (select count(*) from cutover.set_aside) as set_aside,
    (select count(*) from (select from cutover.touched limit 10001) as counted) as touched,
    (select count(*) from cutover.quarantine where decided is null) as kept,
    exists (
        select from pg_replication_slots
        where slot_name = %(slot)s and database = current_database() and wal_status <> 'lost'
    ) as slot
