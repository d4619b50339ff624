-- None is turned back, and none is moved past its own end, which setval refuses: there it is used up.
select setval(seqrelid::regclass, reached)
from unnest(%(names)s::text[], %(values)s::bigint[]) as given (name, wanted)
    join pg_sequence on seqrelid = to_regclass(name),
    lateral (select case when seqincrement > 0 then least(wanted, seqmax) else greatest(wanted, seqmin) end,
        pg_sequence_last_value(seqrelid)) as now (reached, last)
where last is null or case when seqincrement > 0 then reached > last else reached < last end
