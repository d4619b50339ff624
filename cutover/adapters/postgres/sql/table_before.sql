-- What the table is like before we touch it, and what a planned table still lacks.
select
    relation.oid,
    relation.relreplident::text as identity,
    (select index.relname from pg_index join pg_class as index on index.oid = indexrelid
     where indrelid = relation.oid and indisreplident) as identity_index,
    (select array_agg(attname::text order by attnum) from pg_attribute
     where attrelid = relation.oid and attnum > 0 and not attisdropped) as columns,
    exists (select from pg_trigger where tgrelid = relation.oid and tgname = %(trigger)s
            and tgenabled = 'A') as fenced,
    exists (select from pg_publication_rel join pg_publication on pg_publication.oid = prpubid
            where prrelid = relation.oid and pubname = %(publication)s) as published,
    (select array_agg(index.relname::text order by indisprimary desc, index.relname)
     from pg_index join pg_class as index on index.oid = indexrelid
     where indrelid = relation.oid and indisunique and indimmediate and indisvalid
       and indpred is null and indexprs is null
       and (select array_agg(attname::text order by attname) from pg_attribute
            where attrelid = relation.oid and attnum = any (indkey[0:indnkeyatts - 1]))
           = (select array_agg(name order by name) from unnest(%(key)s::text[]) as name)
    ) as key_indexes,
    (select index.relname from pg_index join pg_class as index on index.oid = indexrelid
     where indrelid = relation.oid and indisprimary) as primary_key
from pg_class as relation
where relation.oid = to_regclass(%(table)s)
