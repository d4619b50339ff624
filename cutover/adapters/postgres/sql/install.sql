-- Our records, and the functions that every guarded effect goes through. Run as cutover_admin,
-- in one transaction, as often as one likes: what is there stays as it is.
--
-- What must be seen past any old snapshot is kept in sequences, since reading one is never
-- subject to a snapshot. SQLSTATEs of ours: CT001 older than what this site has seen (detail:
-- carried term, carried entry, seen term, seen entry), CT002 refused, CT003 try again (message: why),
-- 25006 the fence is closed.

create schema if not exists cutover;

-- epoch * 2 + (1 if open). Where it starts at 1, the site served before we came: epoch 0,
-- open without a lease, until epoch 1 continues it.
create sequence if not exists cutover.fence_state
    minvalue 0 maxvalue 4611686018427387904 start {initial};
-- Microseconds since 1970 by this server's clock, and the server start for which they hold.
create sequence if not exists cutover.lease_until minvalue 0 start 0;
create sequence if not exists cutover.lease_boot minvalue 0 start 0;

create table if not exists cutover.guard (
    "only" boolean primary key default true check ("only"),
    term bigint not null,
    entry bigint not null
);
insert into cutover.guard (term, entry) values (0, 0) on conflict do nothing;

-- The newest register that this site was shown. Not in cutover.guard: an effect may hold that row
-- for as long as it waits for others, and whoever renews the lease must not wait with it.
create table if not exists cutover.seen (
    "only" boolean primary key default true check ("only"),
    epoch bigint not null,
    revision bigint not null
);
insert into cutover.seen (epoch, revision) values (0, 0) on conflict do nothing;

-- What was lent to the peer while the witness was gone: until when by this server's clock, for which
-- start of it, for how long, and up to which renewal of the peer nothing is lent any more.
create table if not exists cutover.lent (
    "only" boolean primary key default true check ("only"),
    until bigint not null,
    boot bigint not null,
    microseconds bigint not null,
    withheld_epoch bigint not null,
    withheld_count bigint not null
);
insert into cutover.lent values (true, 0, 0, 0, 0, -1) on conflict do nothing;

create table if not exists cutover.planned (
    table_name text primary key,
    relation regclass not null,
    identity_before "char" not null,
    identity_index name, -- where identity_before is 'i'
    columns text[] not null
);
create table if not exists cutover.follow (
    "only" boolean primary key default true check ("only"),
    backfill boolean not null,
    term bigint not null,
    entry bigint not null,
    watching boolean not null default false,
    brake text,
    released text -- the brake that an operator released last
);
do $$ begin -- asked first, since a running batch holds the table
    if not exists (
        select from pg_attribute
        where attrelid = 'cutover.follow'::regclass and attname = 'pace' and not attisdropped
    ) then
        alter table cutover.follow
            add column rejoin boolean not null default false,
            add column pace integer, -- rows a second that are copied at most
            add column standing boolean not null default false; -- it served and was closed
    end if;
end $$;
create table if not exists cutover.applied (
    "only" boolean primary key default true check ("only"),
    position text not null
);
create table if not exists cutover.copying (
    table_name text primary key,
    after jsonb,
    rows bigint not null default 0,
    done boolean not null default false
);
create table if not exists cutover.set_aside (
    table_name text,
    key jsonb,
    reason text not null,
    row jsonb,
    at timestamptz not null default now(),
    primary key (table_name, key)
);
create table if not exists cutover.touched (
    id bigint generated always as identity primary key,
    table_name text not null,
    key jsonb not null
);
create index if not exists touched_by_table on cutover.touched (table_name, id);
create table if not exists cutover.quarantine ( -- versions that lost, until a person has decided
    number bigint generated always as identity primary key,
    table_name text not null,
    key jsonb not null,
    row jsonb, -- null: what lost is a delete
    site text not null,
    reason text not null,
    request text,
    at timestamptz not null default now(),
    decided text check (decided in ('taken', 'left')),
    decided_at timestamptz
);
create index if not exists quarantine_undecided on cutover.quarantine (number) where decided is null;
create table if not exists cutover.merged ( -- until the peer follows again
    number bigint generated always as identity primary key,
    table_name text not null,
    key jsonb not null,
    unique (table_name, key)
);
create table if not exists cutover.objects (
    bucket text,
    key text,
    sha256 text not null,
    size bigint not null,
    at timestamptz not null default now(),
    primary key (bucket, key)
);
create table if not exists cutover.probe (
    "only" boolean primary key default true check ("only"),
    n bigint not null
);
create table if not exists cutover.pulse ( -- never fenced: a commit here shows that the disk takes it
    "only" boolean primary key default true check ("only"),
    n bigint not null
);
insert into cutover.pulse (n) values (0) on conflict do nothing;
do $$ begin -- once there it is fenced, and at a closed site even an empty insert would be refused
    if not exists (select from cutover.probe) then
        insert into cutover.probe (n) values (0);
    end if;
end $$;

create or replace function cutover.boot() returns bigint
language sql stable parallel safe set search_path = pg_catalog, pg_temp as
$$ select (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint $$;

create or replace function cutover.clock() returns bigint
language sql volatile parallel safe set search_path = pg_catalog, pg_temp as
$$ select (extract(epoch from clock_timestamp()) * 1000000)::bigint $$;

-- The epoch under which this site may write at this moment; null: it may not.
create or replace function cutover.serving_epoch() returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as
$$
declare
    state bigint;
    until bigint;
    lease_boot bigint;
begin
    select fence.last_value, lease.last_value, boot.last_value into state, until, lease_boot
    from cutover.fence_state as fence, cutover.lease_until as lease, cutover.lease_boot as boot;
    if state = 1 then
        return 0;
    end if;
    if state % 2 = 1 and until > cutover.clock() and lease_boot = cutover.boot() then
        return state / 2;
    end if;
    return null;
end
$$;

-- Whether what was written under `epoch` may be acknowledged: asked after its commit returned.
create or replace function cutover.still_serving(epoch bigint) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as
$$
declare
    serving bigint := cutover.serving_epoch();
begin
    return coalesce(
        serving = epoch
        or (epoch = 0 and serving = 1 and exists (
            select from pg_sequence where seqrelid = 'cutover.fence_state'::regclass and seqstart = 1)),
        false);
end
$$;

-- Before every statement that writes to a planned table. The shared lock is held until the
-- writer's end, prepared transactions included, so whoever has it exclusively knows that no
-- writer is left; the state is read after it, past any snapshot. The argument is the site.
create or replace function cutover.fence() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as
$$
declare
    state bigint;
    until bigint;
    lease_boot bigint;
    request text;
begin
    if session_user = {applier} then
        return null;
    end if;
    perform pg_advisory_xact_lock_shared({fence_key});
    -- As in serving_epoch(): a call of it would double what the fence costs each statement.
    select fence.last_value, lease.last_value, boot.last_value into state, until, lease_boot
    from cutover.fence_state as fence, cutover.lease_until as lease, cutover.lease_boot as boot;
    if state % 2 = 0
        or (state <> 1
            and (until <= (extract(epoch from clock_timestamp()) * 1000000)::bigint
                 or lease_boot <> (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint))
    then
        raise exception using
            errcode = '25006',
            message = format('site "%s" takes no writes: its fence is %s at epoch %s', tg_argv[0],
                case state % 2 when 0 then 'closed' else 'open without a live lease' end, state / 2),
            hint = 'Send this write to the site that serves; `cutover status` names it.';
    end if;
    request := current_setting('cutover.request_id', true);
    if request <> '' then
        perform pg_logical_emit_message(true, 'cutover.request', request);
    end if;
    return null;
end
$$;

-- What the fence does, for a transaction of ours that must hold it before it writes, or writes nothing.
create or replace function cutover.hold_fence(site text) returns void
language plpgsql volatile set search_path = pg_catalog, pg_temp as
$$
begin
    perform pg_advisory_xact_lock_shared({fence_key});
    if cutover.serving_epoch() is null then
        raise exception using errcode = '25006', message = format('site "%s" takes no writes', site),
            hint = 'Send this write to the site that serves; `cutover status` names it.';
    end if;
end
$$;

-- Let the peer serve on for so long. What was lent before a restart may still run, whole.
create or replace function cutover.lend(wanted bigint, lease_count bigint, wanted_microseconds bigint)
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as
$$
declare
    lent record;
    longest bigint;
    running bigint;
begin
    select * into strict lent from cutover.lent for update;
    if (wanted, lease_count) <= (lent.withheld_epoch, lent.withheld_count)
        or wanted < (select epoch from cutover.seen)
        or (select last_value % 2 = 1 or wanted < last_value / 2 from cutover.fence_state)
    then
        return false;
    end if;
    longest := greatest(lent.microseconds, wanted_microseconds);
    running := case when lent.boot = cutover.boot() then lent.until else cutover.clock() + lent.microseconds end;
    update cutover.lent set
        until = greatest(running, cutover.clock() + wanted_microseconds),
        boot = cutover.boot(),
        microseconds = longest;
    return true;
end
$$;

-- Lend nothing more up to this renewal; whether nothing that was lent runs any more.
create or replace function cutover.withhold(wanted bigint, lease_count bigint) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as
$$
declare
    lent record;
begin
    select * into strict lent from cutover.lent for update;
    update cutover.lent set withheld_epoch = wanted, withheld_count = lease_count
    where (withheld_epoch, withheld_count) < (wanted, lease_count);
    if lent.microseconds > 0 and lent.boot <> cutover.boot() then
        update cutover.lent set until = cutover.clock() + microseconds, boot = cutover.boot()
        returning * into lent;
    end if;
    return lent.until <= cutover.clock();
end
$$;

-- Raise CT001 unless (term, entry) is at least the newest that this site has seen; remember it.
create or replace function cutover.raise_guard(carried_term bigint, carried_entry bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp as
$$
declare
    seen record;
begin
    select term, entry into strict seen from cutover.guard for update;
    if (carried_term, carried_entry) < (seen.term, seen.entry) then
        raise exception using errcode = 'CT001', message = 'an older coordinator',
            detail = format('%s %s %s %s', carried_term, carried_entry, seen.term, seen.entry);
    end if;
    update cutover.guard set term = carried_term, entry = carried_entry
    where (term, entry) <> (carried_term, carried_entry);
end
$$;

-- Let the site write for so long; the end first, so that an old end never gets a new start.
create or replace function cutover.set_lease(until bigint, started_boot bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp as
$$
begin
    perform setval('cutover.lease_until', until);
    perform setval('cutover.lease_boot', started_boot);
end
$$;

create or replace function cutover.renew_lease(wanted bigint, until bigint, started_boot bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp as
$$
begin
    if started_boot = cutover.boot() and wanted = (select last_value / 2 from cutover.fence_state) then
        perform cutover.set_lease(until, started_boot);
    end if;
end
$$;

create or replace function cutover.open_fence(
    wanted bigint, until bigint, started_boot bigint, carried_term bigint, carried_entry bigint
) returns void
language plpgsql set search_path = pg_catalog, pg_temp as
$$
declare
    epoch bigint;
begin
    perform cutover.raise_guard(carried_term, carried_entry);
    select last_value / 2 into epoch from cutover.fence_state;
    if wanted < epoch then
        raise exception using errcode = 'CT002',
            message = format('it cannot be opened under epoch %s: it has seen epoch %s', wanted, epoch);
    end if;
    if started_boot <> cutover.boot() then
        raise exception using errcode = 'CT003', message = 'it was restarted while it was opened';
    end if;
    perform cutover.set_lease(until, started_boot);
    update cutover.follow set standing = false where standing;
    perform setval('cutover.fence_state', wanted * 2 + 1);
end
$$;

-- Only while holding the fence's lock exclusively. Returns the end of the log.
create or replace function cutover.close_fence(carried_term bigint, carried_entry bigint) returns pg_lsn
language plpgsql set search_path = pg_catalog, pg_temp as
$$
begin
    perform cutover.raise_guard(carried_term, carried_entry);
    -- What this site had not sent stays as it is, should the peer be promoted: its worker stands still.
    -- A crash may have closed the fence and forgotten the rest, for no setval is taken back: so a site
    -- that is closed already stands still as well, unless it was told to follow after this was ordered.
    update cutover.follow set standing = true
    where not standing and (
        select last_value > 1 and (last_value % 2 = 1 or (term, entry) < (carried_term, carried_entry))
        from cutover.fence_state
    );
    perform setval('cutover.fence_state', (select last_value / 2 * 2 from cutover.fence_state));
    return pg_current_wal_insert_lsn();
end
$$;

-- Follow the peer. What was copied before counts only while this site has been following since;
-- a site that is back after a parting goes on from where it had applied its peer's log.
drop function if exists cutover.follow_peer(boolean, text[], bigint, bigint); -- knew no way back
create or replace function cutover.follow_peer(
    with_backfill boolean, with_rejoin boolean, tables text[], carried_term bigint, carried_entry bigint
) returns void
language plpgsql set search_path = pg_catalog, pg_temp as
$$
begin
    perform cutover.raise_guard(carried_term, carried_entry);
    if with_backfill and not exists (select from cutover.follow) then
        delete from cutover.copying;
        delete from cutover.applied where not with_rejoin;
    end if;
    insert into cutover.follow (backfill, rejoin, term, entry)
    values (with_backfill, with_rejoin, carried_term, carried_entry)
    on conflict ("only") do update
        set backfill = excluded.backfill, rejoin = excluded.rejoin, standing = false,
            term = excluded.term, entry = excluded.entry;
    if with_backfill then
        insert into cutover.copying (table_name) select unnest(tables) on conflict do nothing;
    end if;
end
$$;

create or replace function cutover.throttle(wanted integer, carried_term bigint, carried_entry bigint)
returns void
language plpgsql set search_path = pg_catalog, pg_temp as
$$
begin
    perform cutover.raise_guard(carried_term, carried_entry);
    update cutover.follow set pace = wanted;
end
$$;

-- Waits for the batch that holds the row; no later one finds it. The message gives this commit
-- something to wait for the disk with: then all that was applied before is there too.
create or replace function cutover.unfollow_peer(carried_term bigint, carried_entry bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp as
$$
begin
    perform cutover.raise_guard(carried_term, carried_entry);
    delete from cutover.follow;
    delete from cutover.copying where not done;
    perform pg_logical_emit_message(true, 'cutover.durable', '');
end
$$;

drop function if exists cutover.release_brake(bigint, bigint); -- released whatever it found
create or replace function cutover.release_brake(reason text, carried_term bigint, carried_entry bigint)
returns void
language plpgsql set search_path = pg_catalog, pg_temp as
$$
begin
    perform cutover.raise_guard(carried_term, carried_entry);
    update cutover.follow set released = brake, brake = null where brake = reason;
end
$$;

create or replace function cutover.watch_touched(carried_term bigint, carried_entry bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp as
$$
begin
    perform cutover.raise_guard(carried_term, carried_entry);
    if not exists (select from cutover.follow) then
        raise exception using errcode = 'CT002', message = 'it does not follow its peer, so nothing is touched';
    end if;
    if exists (select from cutover.follow where not watching for update) then
        delete from cutover.touched;
        update cutover.follow set watching = true;
    end if;
end
$$;

create or replace function cutover.forget_merged(carried_term bigint, carried_entry bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp as
$$
begin
    perform cutover.raise_guard(carried_term, carried_entry);
    delete from cutover.merged;
end
$$;

revoke all on all functions in schema cutover from public;
grant execute on function cutover.serving_epoch(), cutover.still_serving(bigint) to public;
grant usage on schema cutover to public;
grant select, insert, update, delete on all tables in schema cutover to {applier_role};
grant select on all sequences in schema cutover to {applier_role};
