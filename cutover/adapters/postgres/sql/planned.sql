-- What was changed at the tables that still exist, as names that SQL takes.
select table_name, quote_ident(nspname) || '.' || quote_ident(relname) as name,
    identity_before::text as identity_before, identity_index::text as identity_index,
    relreplident::text as identity
from cutover.planned
    join pg_class on pg_class.oid = relation
    join pg_namespace on pg_namespace.oid = relnamespace
order by table_name
