-- Who holds the fence's lock (%(key)s) in this database.
select
    coalesce(
        'prepared transaction ' || quote_literal(prepared.gid) || ' of ' || prepared.owner,
        format('pid %%s of %%s (%%s since %%s)', lock.pid, activity.usename, activity.state,
               date_trunc('second', activity.state_change))
    ) as holder
from pg_locks as lock
    left join pg_stat_activity as activity on activity.pid = lock.pid
    -- A prepared transaction has no pid; its own id is among its locks.
    left join pg_locks as own
        on lock.pid is null and own.pid is null and own.locktype = 'transactionid' and own.granted
        and own.virtualtransaction = lock.virtualtransaction
    left join pg_prepared_xacts as prepared on prepared.transaction = own.transactionid
where lock.locktype = 'advisory' and lock.granted and lock.objsubid = 1
    and lock.database = (select oid from pg_database where datname = current_database())
    and (lock.classid::bigint << 32) + lock.objid::bigint = %(key)s
    and lock.pid is distinct from pg_backend_pid()
order by 1
