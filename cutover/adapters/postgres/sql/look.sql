-- One look; the end of the log is read when everything else is there.
with fence as materialized ({fence}), facts as materialized ({facts})
select fence.*, facts.*,
{end}
from fence, facts
