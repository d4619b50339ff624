-- The foreign keys that these tables (quoted names) have or that refer to them.
select
    conname::text as name,
    child_space.nspname || '.' || child.relname as child,
    quote_ident(child_space.nspname) || '.' || quote_ident(child.relname) as child_sql,
    (select array_agg(attname::text order by n) from unnest(conkey) with ordinality as part (number, n)
         join pg_attribute on attrelid = conrelid and attnum = number) as columns,
    parent_space.nspname || '.' || parent.relname as parent,
    quote_ident(parent_space.nspname) || '.' || quote_ident(parent.relname) as parent_sql,
    (select array_agg(attname::text order by n) from unnest(confkey) with ordinality as part (number, n)
         join pg_attribute on attrelid = confrelid and attnum = number) as parent_columns
from pg_constraint
    join pg_class as child on child.oid = conrelid
    join pg_namespace as child_space on child_space.oid = child.relnamespace
    join pg_class as parent on parent.oid = confrelid
    join pg_namespace as parent_space on parent_space.oid = parent.relnamespace
    cross join (
        select array_agg(to_regclass(name)::oid) as oids from unnest(%(tables)s::text[]) as name
    ) as planned
where contype = 'f' and (conrelid = any (planned.oids) or confrelid = any (planned.oids))
order by conname, conrelid
