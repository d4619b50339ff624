-- Transactions of other sessions that have written and run for longer than %(seconds)s seconds.
select pid, coalesce(datname, '') as database, extract(epoch from now() - xact_start)::float8 as seconds
from pg_stat_activity
where backend_xid is not null and pid <> pg_backend_pid()
    and xact_start < now() - make_interval(secs => %(seconds)s)
order by xact_start
