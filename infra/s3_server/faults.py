"""Faults that a nemesis asks for, on a unix socket of its own.

Requests and answers are JSON, one object a line:

    {"do": "slow", "seconds": 0.2}        delay matching requests before they start
    {"do": "fail503"}                     answer 503 and do nothing
    {"do": "hang"}                        do nothing until healed
    {"do": "lose_acknowledgement"}        do it, then close the connection without an answer
    {"do": "full"}                        matching changes meet a full disk (deletions do not)
    {"do": "heal"} or {"do": "heal", "id": N}
    {"do": "status"}

A fault may be limited: "method", "bucket", "key_prefix", "count" (how many
requests it strikes). Answers: {"ok": true, "id": N}, for status also "faults"
and "in_flight", or {"ok": false, "error": WHY}.
"""

import asyncio
import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from infra.s3_server.errors import S3Error
from infra.s3_server.request import Request, octets

KINDS: Final = ("slow", "fail503", "hang", "lose_acknowledgement", "full")
LIMITS: Final[dict[str, tuple[type, ...]]] = {
    "seconds": (int, float),
    "method": (str,),
    "bucket": (str,),
    "key_prefix": (str,),
    "count": (int,),
}


@dataclass(slots=True, kw_only=True)
class Fault:
    """One fault in force, and which requests it strikes."""

    id: int
    kind: str
    seconds: float = 0.0
    method: str | None = None
    bucket: str | None = None
    key_prefix: str = ""
    count: int | None = None  #: strikes left; None: as many as come
    hits: int = 0
    healed: asyncio.Event = field(default_factory=asyncio.Event)

    def strikes(self, request: Request) -> bool:
        return (
            self.count != 0
            and self.method in (None, request.method)
            and self.bucket in (None, request.bucket)
            and request.key.startswith(octets(self.key_prefix))
            and not (self.kind == "full" and request.method == "DELETE")
        )

    def facts(self) -> dict[str, object]:
        return {"id": self.id, "kind": self.kind, "count": self.count, "hits": self.hits}


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """What is still to happen to a request that was let through."""

    full: bool = False
    lose_acknowledgement: bool = False


class Faults:
    """The faults in force."""

    def __init__(self) -> None:
        self._faults: dict[int, Fault] = {}
        self._ids = itertools.count(1)
        self.in_flight = 0

    async def strike(self, request: Request) -> Struck:
        """Let a request meet its faults, in the order in which they were asked for."""
        if not self._faults:
            return NOT_STRUCK
        kinds = set()
        for fault in tuple(self._faults.values()):
            if fault.strikes(request):
                self._count(fault)
                kinds.add(fault.kind)
                await _meet(fault)
        return Struck(full="full" in kinds, lose_acknowledgement="lose_acknowledgement" in kinds)

    def ask(self, command: dict[str, Any]) -> dict[str, object]:
        """Carry out one command; raises ValueError with the reason when it makes no sense."""
        match command.get("do"):
            case "status":
                return {
                    "faults": [fault.facts() for fault in self._faults.values()],
                    "in_flight": self.in_flight,
                }
            case "heal":
                self._heal(command.get("id"))
                return {}
            case kind if kind in KINDS:
                return {
                    "id": self._add(kind, {name: value for name, value in command.items() if name != "do"})
                }
            case other:
                raise ValueError(f"unknown command {other!r}; known: {', '.join(KINDS)}, heal, status")

    def _add(self, kind: str, limits: dict[str, Any]) -> int:
        for name, value in limits.items():
            if name not in LIMITS or not isinstance(value, LIMITS[name]):
                raise ValueError(f"{name}={value!r} does not limit a fault; known: {', '.join(LIMITS)}")
        fault = Fault(id=next(self._ids), kind=kind, **limits)
        self._faults[fault.id] = fault
        return fault.id

    def _heal(self, id_: int | None) -> None:
        if id_ is not None and id_ not in self._faults:
            raise ValueError(f"no fault {id_!r} is in force")
        for one in tuple(self._faults) if id_ is None else (id_,):
            self._faults.pop(one).healed.set()

    def _count(self, fault: Fault) -> None:
        fault.hits += 1
        if fault.count is not None:
            fault.count -= 1


NOT_STRUCK: Final = Struck()


async def _meet(fault: Fault) -> None:
    match fault.kind:
        case "slow":
            await asyncio.sleep(fault.seconds)
        case "hang":
            await fault.healed.wait()
        case "fail503":
            raise S3Error("ServiceUnavailable", "Please reduce your request rate.")


async def listen(faults: Faults, path: Path) -> asyncio.Server:
    """Take commands on the unix socket `path` until the returned server is closed."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(_answer(faults, line)).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(talk, path)
    path.chmod(0o600)
    return server


def _answer(faults: Faults, line: bytes) -> dict[str, object]:
    try:
        command = json.loads(line)
        if not isinstance(command, dict):
            raise ValueError("a command is a JSON object")
        return {"ok": True} | faults.ask(command)
    except ValueError as error:
        return {"ok": False, "error": str(error)}
