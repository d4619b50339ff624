-- The fence, and whether every one of these tables (quoted names) carries it.
select
    (select count(*) from pg_trigger
     where tgname = %(trigger)s and tgenabled = 'A'
       and tgrelid = any (select to_regclass(name) from unnest(%(tables)s::text[]) as name))
        = cardinality(%(tables)s::text[]) as whole,
    fence.last_value as state,
    fence.last_value = 1 or (
        (select last_value from cutover.lease_boot) = cutover.boot()
        and (select last_value from cutover.lease_until) > cutover.clock()
    ) as lease_live,
    guard.term,
    guard.entry
from cutover.fence_state as fence, cutover.guard
