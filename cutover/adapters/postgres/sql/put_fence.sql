-- Put the fence on one table. Run in a transaction of its own, under a lock time-out:
-- while this waits for the table, every writer waits behind it.
create trigger {trigger} before insert or update or delete or truncate on {table}
    for each statement execute function cutover.fence({site});
alter table {table} enable always trigger {trigger};
