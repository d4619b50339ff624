"""What goes wrong in one drill, and under what load: a file that repeats it after any change of code.

    {"schema": 1, "found": "one line: what this once showed", "seed": 7, "ending": "roll-back",
     "load": {"clients": 4, "uploads": 8, "others": 18, "pace_seconds": 0.5},
     "strikes": [{"fault": "kill", "victim": "source", "point": "drain/close-site:after", "seconds": 0.8}]}

A seed means another run after any change of code; a crash point means the same. A schedule that is kept says
how it `ends` now that what it found is mended (`held`, or `blunt` or `stranded` with a `because`), too.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from drill.points import Point

SCHEMA = 1
TIME = "t="
"""How a point begins that is a time: `t=1.250`, in seconds since the drill began."""

ENDS = ("", "held", "blunt", "stranded")
"""How a drill may be said to end; empty: nobody knows yet."""

T = TypeVar("T")


class ScheduleBroken(ValueError):
    """A schedule file cannot be read."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"{where}: {why}. Nothing was run. Mend the file; docs/reference/report.md has one.")
        self.where, self.why = where, why


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One fault, where it strikes, and when it is undone."""

    fault: str
    victim: str
    point: str  #: a crash point, or a time as `t=1.250`
    seconds: float | None = 1.0  #: until it is undone; None: not before the migration is over
    nth: int = 1  #: the how-manieth time that a coordinator comes by the point

    @property
    def time(self) -> float | None:
        """Seconds since the drill began; None when it strikes at a crash point."""
        return float(self.point.removeprefix(TIME)) if self.point.startswith(TIME) else None

    def __str__(self) -> str:
        again = f" (time {self.nth})" if self.nth > 1 else ""
        undone = "to the end" if self.seconds is None else f"for {self.seconds:g} s"
        return f"{self.fault} {self.victim} at {self.point}{again} {undone}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What users do meanwhile, and how good the network is."""

    clients: int = 4
    uploads: int = 8
    others: int = 18
    most: int = 26  #: operations, the log-ins at the beginning not counted
    pace_seconds: float = 0.5  #: mean pause of a client between two operations
    delay_seconds: float = 0.004  #: longest way to a server
    loss: float = 0.0  #: share of requests and answers that are lost between places
    astray: bool = True  #: now and then a call arrives at the wrong site
    lasts_seconds: float = 0.0  #: the drill goes on at least so long
    lending: bool = False  #: the plan lets the peer lend leases while only the witness is gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Everything that a simulated drill is told beside the code."""

    seed: int
    ending: str = "soak"
    strikes: tuple[Strike, ...] = ()
    load: Load = field(default_factory=Load)
    plant: str | None = None
    found: str = ""  #: what it once showed
    ends: str = ""  #: how it must end now that this is mended: one of `ENDS`
    because: str = ""  #: why it does not simply hold

    @property
    def name(self) -> str:
        """What a report calls it."""
        what = "; ".join(str(strike) for strike in self.strikes) or "calm"
        return what if self.ending == "soak" else f"{what}, then {self.ending}"

    def to_json(self) -> dict[str, Any]:
        """As it stands in a file; what is as usual is left out."""
        told: dict[str, Any] = {"schema": SCHEMA, "found": self.found, "seed": self.seed}
        told |= {"ending": self.ending, "plant": self.plant, "load": _unusual(self.load, Load())}
        told |= {name: said for name in ("ends", "because") if (said := getattr(self, name))}
        told["strikes"] = [_plain(strike) for strike in self.strikes]
        return told

    def text(self) -> str:
        """The file."""
        return json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n"


def read_schedule(file: Path) -> Schedule:
    """Read a schedule file; raises ScheduleBroken with the place of what is wrong, or OSError."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ScheduleBroken(str(file), f"it is no JSON ({error})") from None
    return schedule_from_json(told, str(file))


def schedule_from_json(told: object, where: str = "schedule") -> Schedule:
    """Read what `to_json` wrote; raises ScheduleBroken for anything else."""
    found = dict(_object(told, where))
    if found.pop("schema", None) != SCHEMA:
        raise ScheduleBroken(where, f"`schema` is not {SCHEMA}, the one that this version reads")
    strikes = found.pop("strikes", [])
    if not isinstance(strikes, list):
        raise ScheduleBroken(where, "`strikes` is no list")
    load = _made(Load, _object(found.pop("load", {}), f"{where}, load"), f"{where}, load")
    read = _made(Schedule, found, where)
    if read.ends not in ENDS or bool(read.because) != (read.ends not in ("", "held")):
        raise ScheduleBroken(where, "`ends` is held, or blunt or stranded with a `because`, or is not there")
    return replace(
        read,
        load=load,
        strikes=tuple(_strike(one, f"{where}, strike {n}") for n, one in enumerate(strikes, start=1)),
    )


def _strike(told: object, where: str) -> Strike:
    strike = _made(Strike, _object(told, where), where)
    try:
        if strike.time is None:
            Point.parse(strike.point)
    except ValueError as error:
        raise ScheduleBroken(where, f"its point {strike.point!r}: {error}") from None
    return strike


def _object(told: object, where: str) -> Mapping[str, Any]:
    if not isinstance(told, dict):
        raise ScheduleBroken(where, f"it is no object but {type(told).__name__}")
    return told


KINDS: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "str | None": (str, type(None)),
    "float | None": (int, float, type(None)),
}


def _made(kind: type[T], told: Mapping[str, Any], where: str) -> T:
    """One of our dataclasses, field by field."""
    known = {one.name: one for one in fields(kind) if _type_name(one.type) in KINDS}  # type: ignore[arg-type]
    unknown = [name for name in told if name not in known]
    if unknown:
        raise ScheduleBroken(where, f"nothing is called {unknown[0]!r}; there are {', '.join(sorted(known))}")
    for name, value in told.items():
        allowed = KINDS[_type_name(known[name].type)]
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            raise ScheduleBroken(where, f"`{name}` may not be {value!r}")
    try:
        return kind(**told)
    except TypeError as error:
        raise ScheduleBroken(where, f"something is missing ({error})") from None


def _type_name(kind: object) -> str:
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _plain(value: Any) -> dict[str, Any]:
    return {one.name: getattr(value, one.name) for one in fields(value)}


def _unusual(value: Any, usual: Any) -> dict[str, Any]:
    return {name: found for name, found in _plain(value).items() if found != getattr(usual, name)}
