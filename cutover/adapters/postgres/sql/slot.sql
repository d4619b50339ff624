select
    plugin = 'pgoutput' and database = current_database(),
    wal_status = 'lost',
    (confirmed_flush_lsn - '0/0')::bigint
from pg_replication_slots where slot_name = %s
