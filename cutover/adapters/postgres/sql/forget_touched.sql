-- Forget each key as it was read: what was touched again has a newer id and stays.
delete from cutover.touched
using unnest(%(tables)s::text[], %(keys)s::jsonb[], %(ids)s::bigint[]) as seen (table_name, key, id)
where touched.table_name = seen.table_name and touched.key = seen.key and touched.id <= seen.id
