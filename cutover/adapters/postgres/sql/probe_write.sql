-- Through the fence and back, then a commit that waits for the disk: a site whose disk hangs does
-- not answer. One round trip.
begin;
update cutover.probe set n = n + 1;
rollback;
update cutover.pulse set n = n + 1;
