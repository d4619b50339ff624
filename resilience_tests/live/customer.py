"""Somebody who goes on ordering while the shop is moved, and keeps what was acknowledged."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import psycopg

from resilience_tests.live.commands import DEADLINE, Shop


@dataclass
class Customer:
    """Orders without pause, at whichever site takes the order, and keeps what was acknowledged."""

    shop: Shop
    site: str = "east"
    orders: set[int] = field(default_factory=set)  #: acknowledged, and not cancelled
    pictures: set[str] = field(default_factory=set)
    hits: int = 0
    turned_away: int = 0
    _at: dict[str, int] = field(default_factory=dict)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    _moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def run(self) -> None:
        async with await self.shop.connect("east") as east, await self.shop.connect("west") as west:
            connections = {"east": east, "west": west}
            number = 0
            while not self._stop.is_set():
                number += 1
                try:
                    await self._order(connections[self.site], number)
                except psycopg.errors.ReadOnlySqlTransaction:
                    self.turned_away += 1
                    self.site = "west" if self.site == "east" else "east"
                async with self._moved:
                    self._moved.notify_all()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), 0.004)

    async def _order(self, connection: psycopg.AsyncConnection, number: int) -> None:
        cancelled = next(iter(self.orders), None) if number % 9 == 0 else None
        key = f"more/{self.site} {number}.jpg" if number % 11 == 0 else None
        if key is not None:
            await self.shop.put(self.site, key, key.encode() * 50)
        async with connection.transaction():
            await connection.execute(
                "UPDATE visits SET hits = hits + 1, \"last hit\" = now() WHERE page = 'page 1'"
            )
            order = await self._insert(connection, number)
            if cancelled is not None:
                await connection.execute(
                    "SELECT set_config('cutover.request_id', %s, true)", [f"cancel {cancelled}"]
                )
                await connection.execute('DELETE FROM "Shop"."Orders" WHERE "No" = %s', [cancelled])
            if key is not None:
                await connection.execute(
                    'INSERT INTO pictures (title, "bucket key") VALUES (%s, %s)', [key, key]
                )
        self.orders.add(order)
        self.orders.discard(cancelled or 0)
        self.pictures |= {key} if key is not None else set()
        self.hits += 1
        self._at[self.site] = self._at.get(self.site, 0) + 1

    async def _insert(self, connection: psycopg.AsyncConnection, number: int) -> int:
        placed = await connection.execute(
            'INSERT INTO "Shop"."Orders" (customer) VALUES (md5(\'c\' || %s)::uuid) RETURNING "No"',
            [number % 500 + 1],
        )
        row = await placed.fetchone()
        assert row is not None
        for line in (1, 2):
            await connection.execute(
                'INSERT INTO "Shop"."Order Items" ("Order No", "Line", sku, price, pieces) '
                "VALUES (%s, %s, %s, 9.99, 2)",
                [row[0], line, f"line {line}"],
            )
        await connection.execute('UPDATE "Shop"."Orders" SET state = \'paid\' WHERE "No" = %s', [row[0]])
        return int(row[0])

    async def has_ordered(self, at: str, *, more: int = 20) -> None:
        """Return once so many more orders were acknowledged by a site."""
        goal = self._at.get(at, 0) + more
        async with asyncio.timeout(DEADLINE), self._moved:
            await self._moved.wait_for(lambda: self._at.get(at, 0) >= goal)

    async def missing(self, site: str) -> list[str]:
        """What was acknowledged and is not at this site."""
        there = {no for (no,) in await self.shop.ask(site, 'SELECT "No" FROM "Shop"."Orders"')}
        keys = {key for (key,) in await self.shop.ask(site, 'SELECT "bucket key" FROM pictures')}
        [(hits,)] = await self.shop.ask(site, "SELECT hits - 1 FROM visits WHERE page = 'page 1'")
        lost = [f"order {no}" for no in sorted(self.orders - there)]
        lost += [
            f"picture {key}" for key in sorted(self.pictures - (keys & set(await self.shop.objects(site))))
        ]
        return lost + ([f"{self.hits - hits} hits"] if hits != self.hits else [])


@asynccontextmanager
async def shopping(shop: Shop) -> AsyncIterator[Customer]:
    """A customer who orders while inside."""
    customer = Customer(shop)
    work = asyncio.ensure_future(customer.run())
    try:
        await customer.has_ordered("east")
        yield customer
    finally:
        customer._stop.set()
        await work
