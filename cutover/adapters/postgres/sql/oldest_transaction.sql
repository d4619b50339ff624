-- What has been running longest in any database of the server: a new slot waits for all of it.
select running
from (
    select format('pid %%s of %%s in database %%s', pid, usename, datname), xact_start
    from pg_stat_activity
    where backend_xid is not null and pid <> pg_backend_pid()
    union all
    select format('prepared transaction %%L of %%s in database %%s', gid, owner, database), prepared
    from pg_prepared_xacts
) as transaction (running, since)
order by since limit 1
