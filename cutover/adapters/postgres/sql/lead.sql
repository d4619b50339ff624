-- How far this site is ahead of its peer, in one round trip and without anything of ours. The
-- transactions are counted as of the statement's snapshot, and the end of the log on disk is read after it.
with counted as materialized (
    select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as transactions,
        pg_snapshot_xmin(pg_current_snapshot())::text::bigint as settled
), ours as materialized ({sequences})
select
    transactions, settled,
    (select coalesce(jsonb_object_agg(name, value), '{{}}') from ours) as sequences,
    (select coalesce(jsonb_object_agg(name, highest), '{{}}') from ours) as bounds,
    (select (confirmed_flush_lsn - '0/0')::bigint from pg_replication_slots
     where slot_name = %(slot)s and database = current_database() and wal_status <> 'lost') as confirmed,
    (select system_identifier::text from pg_control_system()) as system,
    ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int as timeline,
    (pg_current_wal_flush_lsn() - '0/0')::bigint as log_end,
    current_setting('wal_block_size')::bigint as block,
    pg_size_bytes(current_setting('wal_segment_size')) as segment
from counted
