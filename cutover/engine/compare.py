"""Whether both sites hold the same rows and the bytes that the rows name.

Writes may flow meanwhile. So a row that differs is looked at again, once the
follower is known to have what the reference had, and only a difference that
stays while the reference does not change is reported.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cutover.engine.objects import digest_of
from cutover.engine.parts import Parts
from cutover.errors import SiteUnreachable
from cutover.model.change import Key, ObjectName
from cutover.model.observation import RowDigest

PAGE = 2_000
"""Rows of a page: about 5-10 ms for each site's database."""
ROUNDS = 30
"""Looks at rows that differ before what changes all the time is left."""
ROUNDS_BEFORE_BLAME = 6
"""Looks at rows that differ before the follower is waited for: nearly all are equal after one or two."""
SETTLE_SECONDS = 0.05
"""First pause between two looks at rows that differ; it grows to twenty times that."""
OBJECTS_AT_ONCE = 8

Report = Callable[[str], None]
Verified = set[tuple[str | None, str, str | None]]


@dataclass(slots=True)
class Outcome:
    """What a compare found."""

    rows: int = 0
    objects: int = 0
    differences: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, object]:
        """As the journal keeps it."""
        return {
            "clean": not self.differences,
            "rows": self.rows,
            "objects": self.objects,
            "differences": self.differences[:50],
        }


@dataclass(slots=True)
class Comparer:
    """Compares `follower` with `reference`, a page at a time."""

    parts: Parts
    reference: str
    follower: str
    report: Report = lambda _: None
    verified: Verified = field(default_factory=set)  #: objects of the follower that need not be read again
    outcome: Outcome = field(default_factory=Outcome)

    async def everything(self) -> Outcome:
        """Every row of every planned table, in both directions, and every object that a row names."""
        for table in self.parts.plan.tables:
            await self._table(table.qualified)
            await self._strangers(table.qualified)
        return self.outcome

    async def rows_of(self, touched: Mapping[str, Sequence[Key]]) -> Outcome:
        """Only these rows."""
        await asyncio.gather(*(self._settle(table, list(dict.fromkeys(touched[table]))) for table in touched))
        return self.outcome

    async def _table(self, table: str) -> None:
        after: Key | None = None
        while True:
            page = await self.parts.rows[self.reference].digests(table, after, PAGE)
            mirror = await self.parts.rows[self.follower].digests_of(table, list(page.rows))
            differing = [key for key, digest in page.rows.items() if mirror.get(key) != digest]
            alike = {key: digest for key, digest in page.rows.items() if mirror.get(key) == digest}
            await self._objects(table, alike)
            await self._settle(table, differing)
            self.outcome.rows += len(alike)
            self.report(f"{self.outcome.rows} rows and {self.outcome.objects} objects compared ({table})")
            if page.last is None:
                return
            after = page.last

    async def _strangers(self, table: str) -> None:
        """Rows that only the follower has."""
        after: Key | None = None
        while True:
            page = await self.parts.rows[self.follower].digests(table, after, PAGE)
            known = await self.parts.rows[self.reference].digests_of(table, list(page.rows))
            await self._settle(table, [key for key in page.rows if key not in known])
            if page.last is None:
                return
            after = page.last

    async def _settle(self, table: str, keys: list[Key]) -> None:
        """Look again until these rows are equal, or differ while the reference stands still.

        What changes all the time is left: its key is among those that were
        touched, and is compared once writes are stopped.
        """
        for turn in range(ROUNDS if keys else 0):
            keys = await self._differing(table, keys)
            if turn >= ROUNDS_BEFORE_BLAME:
                keys = await self._blame(table, keys)
            if not keys:
                return
            await self.parts.clock.sleep(min(SETTLE_SECONDS * (turn + 1), 20 * SETTLE_SECONDS))

    async def _differing(self, table: str, keys: list[Key]) -> list[Key]:
        ours, theirs = await asyncio.gather(
            self._digests(self.reference, table, keys), self._digests(self.follower, table, keys)
        )
        equal = [key for key in keys if ours.get(key) == theirs.get(key)]
        await self._objects(table, {key: ours[key] for key in equal if key in ours})
        self.outcome.rows += len(equal)
        return [key for key in keys if ours.get(key) != theirs.get(key)]

    async def _blame(self, table: str, keys: list[Key]) -> list[Key]:
        """Report rows that differ although the follower has all that the reference had; return the rest.

        The reference is read before and after: only a row that stood still
        meanwhile can be held against the follower.
        """
        if not keys:
            return []
        before = await self._digests(self.reference, table, keys)
        await self._caught_up()
        theirs = await self._digests(self.follower, table, keys)
        after = await self._digests(self.reference, table, keys)
        still = [key for key in keys if before.get(key) == after.get(key)]
        wrong = [key for key in still if theirs.get(key) != after.get(key)]
        equal = [key for key in still if key in after and key not in wrong]
        await self._objects(table, {key: after[key] for key in equal})
        self.outcome.differences += [f"{table} {'/'.join(key)}: the rows differ" for key in wrong]
        return [key for key in keys if key not in still]

    async def _digests(self, site: str, table: str, keys: list[Key]) -> dict[Key, RowDigest]:
        found: dict[Key, RowDigest] = {}
        for start in range(0, len(keys), PAGE):
            found |= await self.parts.rows[site].digests_of(table, keys[start : start + PAGE])
        return found

    async def _caught_up(self) -> bool:
        """Whether the follower has applied what the reference's log holds now."""
        end = (await self.parts.sites[self.reference].look()).end
        for _ in range(ROUNDS):
            applied = (await self.parts.sites[self.follower].look()).applied
            if applied is not None and applied.reaches(end):
                return True
            await self.parts.clock.sleep(4 * SETTLE_SECONDS)
        raise SiteUnreachable(self.follower, "it does not catch up, so a compare would say nothing")

    async def _objects(self, table: str, rows: Mapping[Key, RowDigest]) -> None:
        names = {
            (name.bucket, name.key, name.sha256): (key, name)
            for key, row in rows.items()
            for name in row.objects
            if (name.bucket, name.key, name.sha256) not in self.verified
        }
        pairs = list(names.values())
        for start in range(0, len(pairs), OBJECTS_AT_ONCE):
            batch = pairs[start : start + OBJECTS_AT_ONCE]
            await asyncio.gather(*(self._object(table, key, name) for key, name in batch))

    async def _object(self, table: str, key: Key, name: ObjectName) -> None:
        expected = digest_of(name)
        if expected is None:
            original = await self.parts.stores[self.reference].sha256(name.key, bucket=name.bucket)
            expected = original[0] if original else None
        found = await self.parts.stores[self.follower].sha256(name.key, bucket=name.bucket)
        self.outcome.objects += 1
        if expected is None:
            self.outcome.differences.append(
                f"{table} {'/'.join(key)}: {name.key!r} is missing at the reference"
            )
        elif found is None or found[0] != expected:
            has = "has no such object" if found is None else f"holds {found[0]}"
            self.outcome.differences.append(
                f"{table} {'/'.join(key)}: {self.follower} {has}; the row says {name.key!r} is {expected}"
            )
        else:
            self.verified.add((name.bucket, name.key, name.sha256))


async def compare_touched(parts: Parts, reference: str, follower: str, verified: Verified) -> Outcome:
    """Compare what the follower's applier has touched since it was last compared, and forget it.

    With writes stopped this is on the path of the write pause, so objects that
    this process has verified before are not read again. While writes flow there
    is always more to come: what was touched since the last full page is left.
    """
    total = Outcome()
    site = parts.sites[follower]
    full = True
    while full and (touched := await site.touched(PAGE)):
        full = any(len(keys) >= PAGE for keys in touched.values())
        comparer = Comparer(parts, reference, follower, verified=verified)
        found = await comparer.rows_of(touched)
        total.rows, total.objects = total.rows + found.rows, total.objects + found.objects
        total.differences += found.differences
        if found.differences:
            return total
        await site.forget_touched(touched)
    return total
