-- Take our records out. Without `cascade`: what somebody else hung on them is named, not dropped.
drop table if exists cutover.guard, cutover.seen, cutover.planned, cutover.follow, cutover.applied, cutover.copying,
    cutover.set_aside, cutover.touched, cutover.quarantine, cutover.merged, cutover.objects, cutover.probe,
    cutover.pulse, cutover.lent;
drop function if exists
    cutover.fence(), cutover.serving_epoch(), cutover.still_serving(bigint),
    cutover.hold_fence(text), cutover.lend(bigint, bigint, bigint), cutover.withhold(bigint, bigint),
    cutover.raise_guard(bigint, bigint), cutover.set_lease(bigint, bigint),
    cutover.renew_lease(bigint, bigint, bigint),
    cutover.open_fence(bigint, bigint, bigint, bigint, bigint),
    cutover.close_fence(bigint, bigint), cutover.follow_peer(boolean, text[], bigint, bigint),
    cutover.follow_peer(boolean, boolean, text[], bigint, bigint), cutover.throttle(integer, bigint, bigint),
    cutover.unfollow_peer(bigint, bigint),
    cutover.release_brake(bigint, bigint), cutover.release_brake(text, bigint, bigint),
    cutover.watch_touched(bigint, bigint), cutover.forget_merged(bigint, bigint), cutover.boot(), cutover.clock();
drop sequence if exists cutover.fence_state, cutover.lease_until, cutover.lease_boot;
drop schema if exists cutover;
