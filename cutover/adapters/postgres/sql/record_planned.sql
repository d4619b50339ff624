insert into cutover.planned (table_name, relation, identity_before, identity_index, columns)
values (%s, %s::oid::regclass, %s::"char", %s, %s)
on conflict do nothing
