-- The reader is ended (up to 3 s) before the slot is dropped: the inner query comes first.
select pg_drop_replication_slot(slot_name)
from (
    select slot_name, case when active_pid is not null then pg_terminate_backend(active_pid, 3000) end as ended
    from pg_replication_slots
    where slot_name = %s and database = current_database()
    offset 0
) as slot
where ended is distinct from false
