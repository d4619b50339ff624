"""What must be mended before a migration can start, judged from one look at both databases.

Each problem is a sentence that names the value, says what it means and what to
do about it. Both sites are held to the same rules, because the way back needs
what the way there needs.
"""

from collections.abc import Iterator

from cutover.model.plan import Plan, Table
from cutover.model.survey import Column, IdSequence, Kind, Survey, TableSurvey

VERSIONS = range(15, 19)
"""Major versions of PostgreSQL that the adapters are written for."""

SETTINGS = {
    "fsync": "a power cut can destroy the database",
    "full_page_writes": "a power cut can tear pages",
    "synchronous_commit": "writes are acknowledged before they are on disk",
}

LARGE_OBJECT_TYPES = ("oid", "lo")


def problems(plan: Plan, source: Survey, target: Survey) -> list[str]:
    """Everything that stands in this plan's way, the servers first; empty: it may start."""
    found = [f"site {site.site!r}: {problem}" for site in (source, target) for problem in _server(site)]
    if found and not _known(source, target):
        return found
    found += _pair(source, target)
    for table in plan.tables:
        here, there = source.table(table.qualified), target.table(table.qualified)
        for site, seen in ((source, here), (target, there)):
            found += [f"site {site.site!r}: {problem}" for problem in _table(plan, table, site, seen)]
        if here is not None and there is not None:
            found += _columns_differ(here, there, source.site, target.site)
            found += _sequences_differ(here, there, source.site, target.site)
        if there is not None and there.has_rows:
            found.append(
                f"site {target.site!r}: table {table.qualified} has rows already, which would be mixed with "
                f"the source's. {_how_to_empty(target)}, or name another database as target."
            )
    return found


def _how_to_empty(target: Survey) -> str:
    """Behind the fence of an earlier migration nobody could."""
    if not target.installed:
        return "Empty it"
    return (
        "The fence and the records of an earlier migration are there, too: run `cutover uninstall` with the "
        "plan of that one first, then empty it"
    )


def _known(*sites: Survey) -> bool:
    return all(site.version in VERSIONS for site in sites)


def _server(site: Survey) -> Iterator[str]:
    if site.version not in VERSIONS:
        yield (
            f"PostgreSQL {site.version} is not supported, only {VERSIONS.start} to {VERSIONS.stop - 1}. "
            f"Upgrade the server, or use a version of cutover that knows it."
        )
        return
    if site.standby:
        yield "the server is a standby, which takes no writes. Name its primary in the outputs."
    if site.pooled:
        yield (
            "a connection pooler answers in the server's place, and what a session holds would be lost "
            "between two statements. Name the server itself in the outputs."
        )
    yield from _log_of(site)
    for right in site.missing_rights:
        yield f"{right} is missing, without which fence, slot or applier cannot work. Grant it."
    if site.foreign_schema:
        yield "there is a schema `cutover` that is not ours, where our records go. Rename it."
    yield from _held_up(site)


def _log_of(site: Survey) -> Iterator[str]:
    if site.wal_level != "logical":
        yield (
            f"wal_level is {site.wal_level}, so the log does not say which rows were changed. "
            f"Set it to logical and restart the server."
        )
    for name in site.settings_off:
        yield f"{name} is off, so {SETTINGS.get(name, 'it is not durable')}. Set it to on."
    if site.slots_free < 1 and not site.slot_ours:
        yield "no replication slot is free. Raise max_replication_slots, or drop a slot that nobody reads."
    if site.walsenders_free < 1:
        yield "no walsender is free, so the peer could not read the log. Raise max_wal_senders."


def _held_up(site: Survey) -> Iterator[str]:
    for name in site.prepared:
        yield (
            f"the prepared transaction {name!r} holds up the start of the slot and the closing of the fence. "
            f"Commit it or roll it back."
        )
    for long in site.long_transactions:
        yield (
            f"pid {long.pid} in database {long.database!r} has been in one transaction for "
            f"{long.seconds:.0f} s and holds up the start of the slot. End it or wait for it."
        )


def _pair(source: Survey, target: Survey) -> Iterator[str]:
    if source.version > target.version:
        yield (
            f"the source {source.site!r} runs PostgreSQL {source.version}, newer than {target.version} "
            f"at the target {target.site!r}. Upgrade the target first."
        )
    if source.encoding != target.encoding:
        yield (
            f"the encodings differ: {source.encoding} at {source.site!r}, {target.encoding} at "
            f"{target.site!r}, so some text could not be stored. Make the target with the source's encoding."
        )


def _table(plan: Plan, table: Table, site: Survey, seen: TableSurvey | None) -> Iterator[str]:
    name = f"table {table.qualified}"
    if seen is None:
        yield f"{name} is not there, though the plan names it. Create it, or mend the plan."
    elif seen.kind is not Kind.TABLE:
        yield (
            f"{name} is a {seen.kind.value}, which can neither be fenced nor followed in the log as one. "
            f"Name plain tables instead (of a partitioned table: take it out of the plan)."
        )
    else:
        yield from _storage(name, seen)
        yield from _named_columns(name, table, seen)
        yield from _key(name, table, seen)
        yield from _bystanders(name, seen)
        yield from _references(plan, name, seen)
        if site.large_objects and any(column.type in LARGE_OBJECT_TYPES for column in seen.columns):
            yield (
                f"{name} has a column of type oid and the database has large objects, which are not in the "
                f"log and would stay behind. Move their bytes into a bytea column or the object store."
            )


def _storage(name: str, seen: TableSurvey) -> Iterator[str]:
    if seen.unlogged:
        yield f"{name} is unlogged, so its changes are not in the log. Run `ALTER TABLE ... SET LOGGED`."
    if seen.inherits:
        yield f"{name} inherits or is inherited from, so its rows are in several tables. Take the link out."
    if seen.row_security:
        yield f"{name} has row-level security, which could hide rows from us. Disable it for the migration."
    for role, owns in (("cutover_admin", seen.admin_owns), ("cutover_applier", seen.applier_owns)):
        if not owns:
            yield f"{name} belongs to a role whose rights {role} lacks. Grant it membership in the owner."


def _named_columns(name: str, table: Table, seen: TableSurvey) -> Iterator[str]:
    there = {column.name for column in seen.columns}
    named = [*table.key, *table.counters]
    for item in table.objects:
        named += [item.key_column, *([item.digest_column] if item.digest_column is not None else [])]
    for missing in dict.fromkeys(named):
        if missing not in there:
            yield f"{name} has no column {missing!r}, which the plan names. Add it, or mend the plan."
    for column in seen.columns:
        if column.generated and column.name in table.key + table.counters:
            yield (
                f"{name}: column {column.name!r} is generated, so the log leaves it out. "
                f"Name a column that is stored by itself."
            )


def _key(name: str, table: Table, seen: TableSurvey) -> Iterator[str]:
    listed = ", ".join(table.key)
    fitting = [index for index in seen.indexes if sorted(index.columns) == sorted(table.key)]
    if not any(not index.partial and not index.deferrable for index in fitting):
        why = "is not there"
        if fitting:
            why = "is deferrable" if fitting[0].deferrable else "covers only some rows or expressions"
        yield (
            f"{name} needs a unique index over exactly ({listed}), the plan's key, to name rows by; "
            f"it {why}. Make one that is neither partial nor deferrable."
        )
    for column in seen.columns:
        if column.name in table.key and column.nullable:
            yield (
                f"{name}: key column {column.name!r} may be null, and such rows have no name. "
                f"Set it NOT NULL."
            )


def _bystanders(name: str, seen: TableSurvey) -> Iterator[str]:
    for rule in seen.rules:
        yield f"{name} has the rule {rule!r}, which rewrites writes past the fence. Use a trigger instead."
    for trigger in seen.always_triggers:
        yield (
            f"{name} has the trigger {trigger!r} enabled for replicas, so it would fire again for rows that "
            f"are copied. Run `ALTER TABLE ... ENABLE TRIGGER` (as usual) for it."
        )
    for sequence in seen.sequences:
        if sequence.step < 0:
            yield (
                f"{name} takes its ids from the sequence {sequence.name}, which counts down; ids are only "
                f"ever raised. Alter it."
            )
        if not sequence.usable:
            yield (
                f"{name} takes ids from the sequence {sequence.name}, which cutover_admin may not read and "
                f"set. Grant it SELECT and UPDATE."
            )
    for publication in seen.publications:
        yield (
            f"{name} is in the publication {publication!r}, whose subscribers would be left behind at the "
            f"cutover. Drop it, or take the table out of it."
        )
    for subscription in seen.subscriptions:
        yield (
            f"{name} is written by the subscription {subscription!r}, which the fence would refuse. "
            f"Drop the subscription first."
        )


def _references(plan: Plan, name: str, seen: TableSurvey) -> Iterator[str]:
    planned = {table.qualified for table in plan.tables}
    for key in seen.foreign_keys:
        for outside in {key.table, key.refers_to} - planned:
            yield (
                f"{name}: the foreign key {key.name!r} leaves the plan (table {outside}), so rows could be "
                f"left dangling at the other site. Put {outside} into the plan, or drop the key."
            )


def _columns_differ(here: TableSurvey, there: TableSurvey, source: str, target: str) -> Iterator[str]:
    left = {column.name: column for column in here.columns}
    right = {column.name: column for column in there.columns}
    for name in sorted(left.keys() ^ right.keys()):
        has, lacks = (source, target) if name in left else (target, source)
        yield (
            f"table {here.name}: column {name!r} is at {has!r} only, not at {lacks!r}. "
            f"Give both sites the same schema."
        )
    for name in sorted(left.keys() & right.keys()):
        if _shape(left[name]) != _shape(right[name]):
            yield (
                f"table {here.name}: column {name!r} is {_words(left[name])} at {source!r} but "
                f"{_words(right[name])} at {target!r}. Give both sites the same schema."
            )


def _sequences_differ(here: TableSurvey, there: TableSurvey, source: str, target: str) -> Iterator[str]:
    """What the cutover, or the promotion of a survivor, would be the first to find."""
    left = {sequence.name: sequence for sequence in here.sequences}
    right = {sequence.name: sequence for sequence in there.sequences}
    for name in sorted(left.keys() ^ right.keys()):
        has, lacks = (source, target) if name in left else (target, source)
        yield (
            f"table {here.name} takes ids from the sequence {name} at {has!r} only, not at {lacks!r}, and a "
            f"sequence moves by its name. Give it one name at both sites (`ALTER SEQUENCE ... RENAME TO`)."
        )
    for name in sorted(left.keys() & right.keys()):
        if _span(left[name]) != _span(right[name]):
            yield (
                f"table {here.name}: the sequence {name} gives out {_span(left[name])} at {source!r} but "
                f"{_span(right[name])} at {target!r}. Give it the same bounds at both sites."
            )


def _span(sequence: IdSequence) -> str:
    return f"{sequence.lowest} to {sequence.highest}"


def _shape(column: Column) -> tuple[str, bool, bool]:
    return column.type, column.nullable, column.generated


def _words(column: Column) -> str:
    null = "" if column.nullable else " not null"
    return f"{column.type}{null}{' generated' if column.generated else ''}"
