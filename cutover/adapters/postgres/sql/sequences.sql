-- What gives these tables (quoted names) their ids: sequences that a column owns or whose next value is a
-- column's default, each once though several tables share it. No value: not used yet.
with planned as materialized (
    select to_regclass(name) as id from unnest(%(tables)s::text[]) as name
), giving (id) as (
    select objid from pg_depend
    where classid = 'pg_class'::regclass and refclassid = 'pg_class'::regclass
        and deptype in ('a', 'i') and refobjsubid > 0 and refobjid = any (select id from planned)
    union
    select refobjid from pg_depend join pg_attrdef on pg_attrdef.oid = objid
    where classid = 'pg_attrdef'::regclass and refclassid = 'pg_class'::regclass
        and adrelid = any (select id from planned)
)
select quote_ident(nspname) || '.' || quote_ident(relname) as name, pg_sequence_last_value(seqrelid) as value,
    seqmin as lowest, seqmax as highest, seqincrement as step,
    has_sequence_privilege(seqrelid, 'select') and has_sequence_privilege(seqrelid, 'update') as usable
from giving join pg_sequence on seqrelid = giving.id
    join pg_class as sequence on sequence.oid = seqrelid
    join pg_namespace on pg_namespace.oid = relnamespace
order by 1
