select setval(to_regclass(name), wanted)
from unnest(%(names)s::text[], %(values)s::bigint[]) as given (name, wanted)
where wanted > coalesce(pg_sequence_last_value(to_regclass(name)), -9223372036854775808)
