-- The oldest touched keys of each table, with their ids.
select touched.id, touched.table_name, touched.key
from unnest(%(tables)s::text[]) as planned (name)
    cross join lateral (
        select * from cutover.touched where table_name = planned.name order by id limit %(limit)s
    ) as touched
order by touched.id
