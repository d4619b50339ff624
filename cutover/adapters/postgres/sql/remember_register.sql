-- Remember the newest register; whether this one is at least as new as what was seen before.
with raised as (
    update cutover.seen set epoch = %(epoch)s, revision = %(revision)s
    where (epoch, revision) < (%(epoch)s, %(revision)s)
)
select (epoch, revision) <= (%(epoch)s, %(revision)s) from cutover.seen
