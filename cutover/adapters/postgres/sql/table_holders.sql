select distinct format('pid %%s of %%s (%%s since %%s)', lock.pid, activity.usename, activity.state,
                       date_trunc('second', activity.state_change))
from pg_locks as lock join pg_stat_activity as activity on activity.pid = lock.pid
where lock.relation = to_regclass(%(table)s) and lock.granted and lock.pid <> pg_backend_pid()
    and lock.database = (select oid from pg_database where datname = current_database())
