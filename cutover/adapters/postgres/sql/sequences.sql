-- The sequences that columns of these tables (quoted names) own; no value: not used yet.
select quote_ident(nspname) || '.' || quote_ident(relname) as name, pg_sequence_last_value(seqrelid) as value,
    seqmin as lowest, seqmax as highest, seqincrement as step
from pg_depend join pg_sequence on seqrelid = objid
    join pg_class as sequence on sequence.oid = objid
    join pg_namespace on pg_namespace.oid = relnamespace
where classid = 'pg_class'::regclass and refclassid = 'pg_class'::regclass
    and deptype in ('a', 'i') and refobjsubid > 0
    and refobjid = any (select to_regclass(name) from unnest(%(tables)s::text[]) as name)
order by 1
