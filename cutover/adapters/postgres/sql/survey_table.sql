-- One planned table (%(quoted)s: its quoted name); no row: it is not there.
select
    relation.relkind::text as kind,
    relation.relpersistence <> 'p' as unlogged,
    exists (select from pg_inherits where relation.oid in (inhrelid, inhparent)) as inherits,
    relation.relrowsecurity as row_security,
    pg_has_role(relation.relowner, 'usage') as admin_owns,
    coalesce((select pg_has_role(oid, relation.relowner, 'usage') from pg_roles where rolname = %(applier)s),
             false) as applier_owns,
    greatest(relation.reltuples, 0)::bigint as estimated_rows,
    (select coalesce(jsonb_agg(jsonb_build_object(
        'name', attname, 'type', format_type(atttypid, atttypmod), 'nullable', not attnotnull,
        'generated', attgenerated <> '') order by attnum), '[]')
     from pg_attribute where attrelid = relation.oid and attnum > 0 and not attisdropped) as columns,
    (select coalesce(jsonb_agg(jsonb_build_object(
        'primary', indisprimary, 'deferrable', not indimmediate,
        'partial', indpred is not null or indexprs is not null,
        'columns', (select coalesce(jsonb_agg(attname order by attname), '[]') from pg_attribute
                    where attrelid = indrelid and attnum = any (indkey[0:indnkeyatts - 1])))
        order by indisprimary desc, indexrelid), '[]')
     from pg_index where indrelid = relation.oid and indisunique and indisvalid) as indexes,
    (select coalesce(jsonb_agg(jsonb_build_object(
        'name', conname, 'table', own_space.nspname || '.' || own.relname,
        'refers_to', other_space.nspname || '.' || other.relname) order by conname), '[]')
     from pg_constraint
         join pg_class as own on own.oid = conrelid
         join pg_namespace as own_space on own_space.oid = own.relnamespace
         join pg_class as other on other.oid = confrelid
         join pg_namespace as other_space on other_space.oid = other.relnamespace
     where contype = 'f' and relation.oid in (conrelid, confrelid)) as foreign_keys,
    (select coalesce(array_agg(rulename::text order by rulename), '{}') from pg_rewrite
     where ev_class = relation.oid and rulename <> '_RETURN') as rules,
    (select coalesce(array_agg(tgname::text order by tgname), '{}') from pg_trigger
     where tgrelid = relation.oid and not tgisinternal and tgenabled in ('A', 'R')
         and tgname <> %(trigger)s) as always_triggers,
    (select coalesce(array_agg(distinct pubname::text), '{}')
     from pg_publication left join pg_publication_rel on prpubid = pg_publication.oid
     where (prrelid = relation.oid or puballtables) and pubname <> %(publication)s) as publications,
    (select coalesce(array_agg(subname::text order by subname), '{}')
     from pg_subscription_rel join pg_subscription on pg_subscription.oid = srsubid
     where srrelid = relation.oid) as subscriptions
from pg_class as relation
where relation.oid = to_regclass(%(quoted)s)
