"""The record of one drill: every operation, move, fault and healing, a line each.

A history is evidence, so it is written as things happen and never edited. The
same drill simulated twice from one seed gives the same bytes: keys stand in a
fixed order, and time comes from the clock that the writer is given.

    {"n":0,"t":0.0,"process":"client-1","type":"invoke","f":"upload","key":"p-1f...","value":{...},
     "site":null,"epoch":null,"request":"r-17"}

`type` is invoke, ok, failed or unknown for a client's operation; move, fault or
heal for what was done to the sites meanwhile.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Protocol

Value = Mapping[str, object]
"""What a line says beside its key: a JSON object."""


class Kind(StrEnum):
    """What a line records. The names stand in files: add one, never rename one."""

    INVOKE = "invoke"  #: a client is about to send a call
    OK = "ok"  #: the call was answered, and the answer says done
    FAILED = "failed"  #: the call was refused: it certainly had no effect
    UNKNOWN = "unknown"  #: no answer that decides: it may have had its effect, or may have it later
    MOVE = "move"  #: the coordinator journalled a move
    FAULT = "fault"  #: the nemesis struck
    HEAL = "heal"  #: a fault was undone


WRITES = frozenset({"log_in", "upload", "edit", "delete", "like", "view", "comment", "earn"})
"""The operations that change something, so that their acknowledgement is a promise."""


class Outcome(StrEnum):
    """How an operation ended, as far as its client can know."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


class HistoryBroken(Exception):
    """A history file cannot be read, so nothing can be judged from it."""

    def __init__(self, *, path: Path, line: int, why: str) -> None:
        super().__init__(
            f"{path}, line {line}: {why}. A history is never edited; "
            f"take the file that the drill wrote, or run the drill again."
        )
        self.path, self.line = path, line


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a history."""

    n: int  #: number of the line, from 0
    t: float  #: seconds since the drill began, on the drill's own clock
    process: str  #: which client, or `coordinator`, or `nemesis`
    type: Kind
    f: str  #: operation, stage of a move, or name of a fault
    key: str | None = None  #: post id; user for log_in and feed; account for earn; victim of a fault
    value: Value | None = None
    site: str | None = None  #: who answered
    epoch: int | None = None  #: under which epoch; None when the answer did not say
    request: str | None = None  #: one a logical operation; a retry keeps it

    def line(self) -> bytes:
        """Return the line as it stands in the file, line end included."""
        epoch = "null" if self.epoch is None else self.epoch
        text = (
            f'{{"n":{self.n},"t":{self.t!r},"process":{_quoted(self.process)},"type":"{self.type.value}",'
            f'"f":{_quoted(self.f)},"key":{_quoted(self.key)},"value":{_encoded(self.value)},'
            f'"site":{_quoted(self.site)},"epoch":{epoch},"request":{_quoted(self.request)}}}\n'
        )
        return text.encode("ascii")


_encoded = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def _quoted(text: str | None) -> str:
    return "null" if text is None else encode_basestring_ascii(text)


class Sink(Protocol):
    """Where lines go: a file opened in binary mode, or a BytesIO."""

    def write(self, line: bytes, /) -> object: ...
    def flush(self) -> None: ...


class HistoryWriter:
    """Writes lines as things happen, each handed to the operating system at once.

    When `invoke` returns, its line has left this process, so a harness that is
    killed a moment later still has the call on record. Nothing is synced to
    disk: a drill does not survive the power cut of the machine it runs on.
    One event loop may use it; it is not for several threads.
    """

    def __init__(self, sink: Sink, clock: Callable[[], float]) -> None:
        """Write to `sink`, which the caller closes; `clock` says seconds since the drill began."""
        self._sink = sink
        self._clock = clock
        self._next = 0

    def invoke(self, process: str, f: str, *, key: str | None, value: Value | None, request: str) -> Event:
        """Record that `process` is about to send a call; give the result to `complete`."""
        return self._write(
            process=process,
            type=Kind.INVOKE,
            f=f,
            key=key,
            value=value,
            site=None,
            epoch=None,
            request=request,
        )

    def complete(
        self,
        invoke: Event,
        outcome: Outcome,
        *,
        value: Value | None = None,
        site: str | None = None,
        epoch: int | None = None,
    ) -> Event:
        """Record how the call of `invoke` ended; `value` is the answer, without what was asked."""
        return self._write(
            process=invoke.process,
            type=Kind(outcome.value),
            f=invoke.f,
            key=invoke.key,
            value=value,
            site=site,
            epoch=epoch,
            request=invoke.request,
        )

    def move(self, *, stage: str, direction: str, actions: Sequence[str], entry: int) -> Event:
        """Record a journalled move: into `stage`, `forward` or `back`, journal entry number `entry`."""
        value = {"stage": stage, "direction": direction, "actions": list(actions), "n": entry}
        return self._note("coordinator", Kind.MOVE, stage, key=None, value=value)

    def fault(self, *, name: str, victim: str, point: str, bite: Value | None) -> Event:
        """Record that a fault struck; `bite` says what was in flight, None when nothing was."""
        value = {"name": name, "victim": victim, "point": point, "bite": bite}
        return self._note("nemesis", Kind.FAULT, name, key=victim, value=value)

    def heal(self, *, name: str, victim: str) -> Event:
        """Record that the fault `name` on `victim` was undone."""
        return self._note("nemesis", Kind.HEAL, name, key=victim, value={"name": name, "victim": victim})

    def _note(self, process: str, kind: Kind, f: str, *, key: str | None, value: Value) -> Event:
        return self._write(
            process=process, type=kind, f=f, key=key, value=value, site=None, epoch=None, request=None
        )

    def _write(
        self,
        *,
        process: str,
        type: Kind,
        f: str,
        key: str | None,
        value: Value | None,
        site: str | None,
        epoch: int | None,
        request: str | None,
    ) -> Event:
        event = Event(
            n=self._next,
            t=round(self._clock(), 6),
            process=process,
            type=type,
            f=f,
            key=key,
            value=value,
            site=site,
            epoch=epoch,
            request=request,
        )
        self._sink.write(event.line())
        self._sink.flush()
        self._next += 1
        return event


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of one client: what it asked, and how that ended."""

    invoke: Event
    completion: Event | None  #: None when nothing came back: unknown, for ever

    @property
    def outcome(self) -> Outcome:
        """Unknown unless the record says ok or failed."""
        if self.completion is None:
            return Outcome.UNKNOWN
        return Outcome(self.completion.type.value)

    @property
    def ok(self) -> bool:
        """Acknowledged."""
        return self.completion is not None and self.completion.type is Kind.OK

    @property
    def possible(self) -> bool:
        """It had its effect, or may have: all but a definite failure."""
        return self.completion is None or self.completion.type is not Kind.FAILED

    @property
    def key(self) -> str:
        """Post id, user or account; empty when the line has none."""
        return self.invoke.key or ""

    @property
    def asked(self) -> Value:
        """What the client sent."""
        return self.invoke.value or {}

    @property
    def answered(self) -> Value:
        """What came back; empty when nothing did."""
        return {} if self.completion is None else self.completion.value or {}

    @property
    def begins(self) -> int:
        """Number of the line before which it had no effect."""
        return self.invoke.n

    @property
    def ends(self) -> float:
        """Number of the line after which it has no new effect: infinite, unless it was answered."""
        if self.completion is None or self.completion.type is Kind.UNKNOWN:
            return float("inf")
        return self.completion.n


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A move that the coordinator journalled."""

    n: int
    t: float
    stage: str
    direction: str  #: `forward` or `back`
    actions: tuple[str, ...]
    entry: int  #: number in the journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """A fault that struck."""

    n: int
    t: float
    name: str
    victim: str
    point: str
    bite: Value | None  #: what was in flight; None when nothing was


@dataclass(frozen=True, slots=True, kw_only=True)
class Healed:
    """A fault that was undone."""

    n: int
    t: float
    name: str
    victim: str


@dataclass(frozen=True)
class History:
    """A whole history, paired and sorted by what happened. Build it with `history_of`."""

    operations: tuple[Operation, ...]  #: in the order of their invokes
    moves: tuple[Move, ...] = ()
    faults: tuple[Struck, ...] = ()
    heals: tuple[Healed, ...] = ()
    _by_f: dict[str, list[Operation]] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        for operation in self.operations:
            self._by_f.setdefault(operation.invoke.f, []).append(operation)

    def of(self, f: str) -> Sequence[Operation]:
        """Return the operations called `f`, in the order of their invokes."""
        return self._by_f.get(f, ())


def read_history(path: Path) -> list[Event]:
    """Return the lines of a history file.

    A last line without its end is left out: the harness was killed while it
    wrote it. Any other line that is not an event, or not the next one by its
    number, raises HistoryBroken: an acknowledgement that is gone from the record
    would be a promise that nobody looks at.
    """
    with path.open("rb") as file:
        return list(_events(file, path))


def _events(lines: Iterable[bytes], path: Path) -> Iterator[Event]:
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            return
        try:
            event = _event(json.loads(line))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise HistoryBroken(path=path, line=number, why=f"not an event ({error})") from error
        if event.n != number - 1:
            why = f"it is numbered {event.n}, and {number - 1} comes here, so lines were lost or put in"
            raise HistoryBroken(path=path, line=number, why=why)
        yield event


def _event(line: dict[str, object]) -> Event:
    return Event(**{**line, "type": Kind(str(line["type"]))})  # type: ignore[arg-type]


def pair(events: Iterable[Event]) -> list[Operation]:
    """Pair each invoke with its completion, in the order of the invokes.

    An invoke that nothing completed stays open, which is unknown and neither
    failed nor ok. A completion that nothing invoked raises ValueError.
    """
    opened: dict[tuple[str, str | None], int] = {}
    invokes: list[Event] = []
    completions: dict[int, Event] = {}
    for event in events:
        match event.type:
            case Kind.INVOKE:
                opened[event.process, event.request] = len(invokes)
                invokes.append(event)
            case Kind.OK | Kind.FAILED | Kind.UNKNOWN:
                at = opened.pop((event.process, event.request), None)
                if at is None:
                    raise ValueError(
                        f"line {event.n} completes {event.f} {event.request!r} of {event.process}, "
                        f"which no line before it invokes"
                    )
                completions[at] = event
            case Kind.MOVE | Kind.FAULT | Kind.HEAL:
                pass
    return [Operation(invoke, completions.get(at)) for at, invoke in enumerate(invokes)]


def history_of(events: Sequence[Event]) -> History:
    """Return the history that `events` tell."""
    return History(
        operations=tuple(pair(events)),
        moves=tuple(_move(event) for event in events if event.type is Kind.MOVE),
        faults=tuple(_struck(event) for event in events if event.type is Kind.FAULT),
        heals=tuple(_healed(event) for event in events if event.type is Kind.HEAL),
    )


def _move(event: Event) -> Move:
    value = event.value or {}
    actions, entry = value.get("actions"), value.get("n")
    return Move(
        n=event.n,
        t=event.t,
        stage=event.f,
        direction=str(value.get("direction", "forward")),
        actions=tuple(str(action) for action in actions) if isinstance(actions, list | tuple) else (),
        entry=entry if isinstance(entry, int) else -1,
    )


def _struck(event: Event) -> Struck:
    value = event.value or {}
    bite = value.get("bite")
    return Struck(
        n=event.n,
        t=event.t,
        name=event.f,
        victim=event.key or "",
        point=str(value.get("point", "")),
        bite=bite if isinstance(bite, Mapping) else None,
    )


def _healed(event: Event) -> Healed:
    return Healed(n=event.n, t=event.t, name=event.f, victim=event.key or "")
