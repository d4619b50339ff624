"""Reads both stores of a simulated site for the checkers: committed rows and bytes, nothing inferred."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from cutover.adapters.memory.objects import MemoryStore
from cutover.adapters.memory.server import MemoryServer
from cutover.model.change import Row
from drill.simulator import records
from drill.stores import (
    CommentRow,
    FenceFacts,
    LedgerRow,
    LikeRow,
    ObjectFacts,
    PostRow,
    QueueRow,
    RequestRow,
    SessionRow,
    SiteStores,
    UserRow,
)


@dataclass(frozen=True, slots=True)
class SimulatedStoreReader:
    """Reads one site. Fulfils StoreReader."""

    server: MemoryServer
    store: MemoryStore

    async def read(self) -> SiteStores:
        """Everything that both stores hold at this moment."""
        fence = self.server.fence()
        return SiteStores(
            site=self.server.site,
            users={str(row["name"]): _user(row) for row in self._rows(records.USERS)},
            sessions={str(row["token"]): _session(row) for row in self._rows(records.SESSIONS)},
            posts={str(row["id"]): _post(row) for row in self._rows(records.POSTS)},
            likes={(str(row["post_id"]), str(row["user_name"])): _like(row) for row in self._likes()},
            comments={_number(row, "id"): _comment(row) for row in self._rows(records.COMMENTS)},
            ledger={_number(row, "id"): _entry(row) for row in self._rows(records.LEDGER)},
            queue={_number(row, "id"): _queued(row) for row in self._rows(records.QUEUE)},
            requests={str(row["request_id"]): _request(row) for row in self._rows(records.REQUESTS)},
            objects=dict(self._objects()),
            hidden=self._hidden(),
            kept=self._kept(),
            fence=FenceFacts(role=fence.state.value, epoch=fence.epoch) if self.server.prepared else None,
        )

    def _rows(self, table: str) -> list[Row]:
        return [row for _, row in sorted(self.server.tables[table].items())]

    def _likes(self) -> list[Row]:
        return self._rows(records.LIKES)

    def _objects(self) -> Iterable[tuple[str, ObjectFacts]]:
        for (_, key), body in sorted(self.store.objects.items(), key=lambda item: item[0]):
            digest = sha256(body.data).hexdigest()
            yield key, ObjectFacts(size=len(body.data), sha256=digest, etag=body.info.etag)

    def _hidden(self) -> dict[str, dict[str, str]]:
        hidden: dict[str, dict[str, str]] = {}
        for (table, key), reason in sorted(self.server.aside.items()):
            hidden.setdefault(table.removeprefix("public."), {})["/".join(key)] = reason
        return hidden

    def _kept(self) -> dict[str, dict[str, str]]:
        held: dict[str, dict[str, str]] = {}
        for kept in (*self.server.quarantine.values(), *self.server.decided.values()):
            held.setdefault(kept.table.removeprefix("public."), {})["/".join(kept.key)] = kept.reason
        return held


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    return value if isinstance(value, str) else ""


def _number(row: Row, column: str) -> int:
    return int(_text(row, column))


def _user(row: Row) -> UserRow:
    return UserRow(name=_text(row, "name"), created_at=_text(row, "created_at"))


def _session(row: Row) -> SessionRow:
    opened = _text(row, "opened_at")
    return SessionRow(token=_text(row, "token"), user_name=_text(row, "user_name"), opened_at=opened)


def _request(row: Row) -> RequestRow:
    return RequestRow(request_id=_text(row, "request_id"), made_at=_text(row, "made_at"))


def _like(row: Row) -> LikeRow:
    return LikeRow(
        post_id=_text(row, "post_id"), user_name=_text(row, "user_name"), request_id=_text(row, "request_id")
    )


def _post(row: Row) -> PostRow:
    return PostRow(
        id=_text(row, "id"),
        author=_text(row, "author"),
        title=_text(row, "title"),
        caption=_text(row, "caption"),
        tags=tuple(json.loads(_text(row, "tags"))),
        audio=_text(row, "audio"),
        object_key=_text(row, "object_key"),
        sha256=_text(row, "sha256"),
        size=_number(row, "size"),
        likes=_number(row, "likes"),
        views=_number(row, "views"),
        request_id=_text(row, "request_id"),
        created_at=_text(row, "created_at"),
        updated_at=_text(row, "updated_at"),
    )


def _comment(row: Row) -> CommentRow:
    return CommentRow(
        id=_number(row, "id"),
        post_id=_text(row, "post_id"),
        author=_text(row, "author"),
        body=_text(row, "body"),
        request_id=_text(row, "request_id"),
        created_at=_text(row, "created_at"),
    )


def _entry(row: Row) -> LedgerRow:
    return LedgerRow(
        id=_number(row, "id"),
        post_id=_text(row, "post_id"),
        account=_text(row, "account"),
        cents=_number(row, "cents"),
        request_id=_text(row, "request_id"),
        created_at=_text(row, "created_at"),
    )


def _queued(row: Row) -> QueueRow:
    return QueueRow(
        id=_number(row, "id"),
        post_id=_text(row, "post_id"),
        state=_text(row, "state"),
        request_id=_text(row, "request_id"),
        created_at=_text(row, "created_at"),
    )
