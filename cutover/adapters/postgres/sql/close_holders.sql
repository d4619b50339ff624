-- Who holds the fence's lock (%(key)s) in this database.
select
    coalesce(
        'prepared transaction ' || quote_literal(prepared.gid) || ' of ' || prepared.owner,
        format('pid %%s of %%s (%%s since %%s)', lock.pid, activity.usename, activity.state,
               date_trunc('second', activity.state_change))
    ) as holder
from pg_locks as lock
    left join pg_stat_activity as activity on activity.pid = lock.pid
    left join pg_prepared_xacts as prepared
        on lock.pid is null and prepared.transaction::text = split_part(lock.virtualtransaction, '/', 2)
where lock.locktype = 'advisory' and lock.granted and lock.objsubid = 1
    and lock.database = (select oid from pg_database where datname = current_database())
    and (lock.classid::bigint << 32) + lock.objid::bigint = %(key)s
    and lock.pid is distinct from pg_backend_pid()
order by 1
