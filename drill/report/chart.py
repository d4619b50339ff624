"""The picture of one drill: what lies where, in pixels. Pure geometry; the template draws it.

Operations are gathered in small cells, so that a picture of a million
operations is no bigger than one of a thousand.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from drill.history import WRITES, Healed, History, Move, Operation, Outcome, Struck
from drill.measures import longest_write_pause

WIDTH = 1160
LEFT = 74  #: where time begins
RIGHT = 1144  #: where it ends
LABEL_ROWS = 3  #: rows in which stage names may stand, so that short stages do not overlap
ROW = 15  #: height of one of them
STRIP_TOP = LABEL_ROWS * ROW + 4
STRIP = 12  #: height of the coloured strip of stages
FAULT_ROWS = 2  #: rows in which faults are named
LATENCY_TOP = STRIP_TOP + STRIP + FAULT_ROWS * ROW + 6
LATENCY = 140  #: height of the latency panel
NO_ANSWER = 20  #: height of the lane above it, for calls that nothing came back from
RATE_TOP = LATENCY_TOP + NO_ANSWER + LATENCY + 26
RATE = 54  #: height of the panel of acknowledged writes
HEIGHT = RATE_TOP + RATE + 24
CELL = 4  #: pixels of one cell of the latency panel, both ways
LETTER = 6.6  #: width of a letter of a label (pixels), on the wide side
RATE_BINS = 180

STAGES = (
    "preflight",
    "backfill",
    "catch_up",
    "verify",
    "drain",
    "cut_over",
    "soak",
    "complete",
    "rolled_back",
)


@dataclass(frozen=True, slots=True)
class StageBand:
    """A stage: where it begins and ends, and where its name stands."""

    name: str
    tone: int  #: 0 to 2, so that neighbours differ; 3 before the first stage
    x: float
    width: float
    label_x: float
    label_y: float
    told: str  #: what the pointer is told


@dataclass(frozen=True, slots=True)
class FaultBand:
    """A fault from its strike to its healing."""

    x: float
    width: float
    label_x: float
    label_y: float
    label: str
    bit: bool
    told: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A line of a scale."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class PauseMark:
    """The longest write pause."""

    x: float
    width: float
    label_x: float
    anchor: str
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything that the template needs to draw."""

    stages: tuple[StageBand, ...]
    faults: tuple[FaultBand, ...]
    dots: dict[str, str]  #: outcome -> SVG path of its cells; ok is split by density
    bars: str  #: SVG path of the acknowledged writes for each slice of time
    most: str  #: label of the highest bar
    pause: PauseMark | None
    seconds: tuple[Mark, ...]
    latencies: tuple[Mark, ...]
    told: str  #: the whole picture in one sentence, for whoever cannot see it


@dataclass(frozen=True, slots=True)
class Scale:
    """From seconds to pixels."""

    last: float

    def x(self, t: float) -> float:
        """Return where `t` (seconds) lies."""
        return round(LEFT + (RIGHT - LEFT) * min(max(t, 0.0), self.last) / self.last, 1)


def chart_of(history: History) -> Chart:
    """Lay out the picture of `history`."""
    scale = Scale(_last_moment(history))
    slowest = max((_latency(op) or 0.0 for op in history.operations), default=0.0)
    decades = max(2, math.ceil(math.log10(max(slowest, 0.001) * 1000)))
    bars, most = _rate(history, scale)
    return Chart(
        stages=_stages(history, scale),
        faults=_faults(history, scale),
        dots=_dots(history.operations, scale, decades),
        bars=bars,
        most=most,
        pause=_pause(history, scale),
        seconds=tuple(_second_marks(scale)),
        latencies=tuple(
            Mark(_latency_y(10.0**power / 1000, decades), _duration(10.0**power / 1000))
            for power in range(decades + 1)
        ),
        told=_told(history),
    )


def _last_moment(history: History) -> float:
    ends = [op.completion.t if op.completion else op.invoke.t for op in history.operations]
    marks = [note.t for notes in (history.moves, history.faults, history.heals) for note in notes]
    return max([*ends, *marks, 0.001]) * 1.01


def _latency(operation: Operation) -> float | None:
    return None if operation.completion is None else operation.completion.t - operation.invoke.t


def _latency_y(seconds: float, decades: int) -> float:
    """Return where a latency lies: logarithmic, from 1 ms at the bottom."""
    part = min(max(math.log10(max(seconds, 1e-9) * 1000), 0.0), decades) / decades
    return round(LATENCY_TOP + NO_ANSWER + LATENCY * (1 - part), 1)


def _dots(operations: Iterable[Operation], scale: Scale, decades: int) -> dict[str, str]:
    cells: dict[str, Counter[tuple[int, int]]] = {outcome.value: Counter() for outcome in Outcome}
    for operation in operations:
        latency = _latency(operation)
        y = LATENCY_TOP + NO_ANSWER / 2 if latency is None else _latency_y(latency, decades)
        cell = (int(scale.x(operation.invoke.t) // CELL), int(y // CELL))
        cells[operation.outcome.value][cell] += 1
    return {
        "few": "".join(_square(cell) for cell, count in sorted(cells["ok"].items()) if count < 3),
        "many": "".join(_square(cell) for cell, count in sorted(cells["ok"].items()) if count >= 3),
        "failed": "".join(_triangle(cell) for cell in sorted(cells["failed"])),
        "unknown": "".join(_cross(cell) for cell in sorted(cells["unknown"])),
    }


def _square(cell: tuple[int, int]) -> str:
    return f"M{cell[0] * CELL} {cell[1] * CELL}h3v3h-3z"


def _triangle(cell: tuple[int, int]) -> str:
    return f"M{cell[0] * CELL - 2} {cell[1] * CELL + 5}h8l-4 -7z"


def _cross(cell: tuple[int, int]) -> str:
    return f"M{cell[0] * CELL - 2} {cell[1] * CELL - 2}l7 7m0 -7l-7 7"


def _stages(history: History, scale: Scale) -> tuple[StageBand, ...]:
    begins = [(0.0, "before", "forward")] if not history.moves or history.moves[0].t > 0 else []
    begins += [(move.t, move.stage, move.direction) for move in _entered(history)]
    bands: list[StageBand] = []
    free = [float(LEFT)] * LABEL_ROWS
    for number, (t, stage, direction) in enumerate(begins):
        until = begins[number + 1][0] if number + 1 < len(begins) else scale.last
        name = stage.replace("_", " ") + (" ↩" if direction == "back" else "")
        x = scale.x(t)
        label_x, row = _place(x, len(name) * LETTER + 10, free)
        tone = STAGES.index(stage) % 3 if stage in STAGES else 3
        bands.append(
            StageBand(
                name=name,
                tone=tone,
                x=x,
                width=max(round(scale.x(until) - x, 1), 1.0),
                label_x=label_x,
                label_y=STRIP_TOP - 5 - ROW * row,
                told=f"{name}: {t:.3f} s to {until:.3f} s, {_duration(until - t)}",
            )
        )
    return tuple(bands)


def _entered(history: History) -> Iterable[Move]:
    """Return the first move into each stage that was entered after another one."""
    stage = None
    for move in history.moves:
        if move.stage != stage:
            yield move
        stage = move.stage


def _place(x: float, width: float, free: list[float]) -> tuple[float, int]:
    """Return where a label of `width` fits beside its `x`, and in which row from the bottom."""
    wanted = min(x, RIGHT - width)
    row = next((row for row, end in enumerate(free) if end <= wanted), None)
    if row is None:
        row = min(range(len(free)), key=free.__getitem__)
        wanted = free[row]
    free[row] = wanted + width
    return round(wanted, 1), row


def _faults(history: History, scale: Scale) -> tuple[FaultBand, ...]:
    free = [float(LEFT)] * FAULT_ROWS
    return tuple(_fault(fault, history, scale, free) for fault in history.faults)


def _fault(fault: Struck, history: History, scale: Scale, free: list[float]) -> FaultBand:
    healed = next((heal.t for heal in history.heals if _heals(heal, fault)), scale.last)
    x = scale.x(fault.t)
    label = f"{fault.name.replace('_', ' ')} {fault.victim}"
    label_x, row = _place(x, len(label) * LETTER + 16, free)
    hit = "hit nothing in flight"
    if fault.bite is not None:
        hit = "in flight: " + (
            ", ".join(f"{name} {value}" for name, value in fault.bite.items()) or "something"
        )
    return FaultBand(
        x=x,
        width=max(round(scale.x(healed) - x, 1), 2.0),
        label_x=label_x,
        label_y=LATENCY_TOP - 5 - ROW * row,
        label=label,
        bit=fault.bite is not None,
        told=f"{label} at {fault.point}, {fault.t:.3f} s to {healed:.3f} s; {hit}",
    )


def _heals(heal: Healed, fault: Struck) -> bool:
    return heal.n > fault.n and (heal.name, heal.victim) == (fault.name, fault.victim)


def _anchored(x: float, width: float) -> tuple[str, float]:
    """Return how a label at `x` is anchored so that it stays inside the picture."""
    return ("start", x + 2) if x + width < RIGHT else ("end", x - 2)


def _rate(history: History, scale: Scale) -> tuple[str, str]:
    width = scale.last / RATE_BINS
    counted: Counter[int] = Counter()
    for operation in history.operations:
        if operation.ok and operation.completion is not None and operation.invoke.f in WRITES:
            counted[min(int(operation.completion.t / width), RATE_BINS - 1)] += 1
    top = max(counted.values(), default=1)
    step = (RIGHT - LEFT) / RATE_BINS
    bars = "".join(
        _bar(LEFT + step * number, step - 0.8, max(RATE * count / top, 1))
        for number, count in sorted(counted.items())
    )
    return bars, f"{top / width:.0f}/s"


def _bar(x: float, width: float, height: float) -> str:
    return f"M{x:.1f} {RATE_TOP + RATE}v-{height:.1f}h{width:.1f}V{RATE_TOP + RATE}z"


def _pause(history: History, scale: Scale) -> PauseMark | None:
    pause = longest_write_pause(history)
    if pause is None:
        return None
    x = scale.x(pause.begins)
    label = f"longest write pause {_duration(pause.seconds)}"
    anchor, label_x = _anchored(x, len(label) * LETTER)
    return PauseMark(x, max(round(scale.x(pause.ends) - x, 1), 2.0), label_x, anchor, label)


def _second_marks(scale: Scale) -> Iterable[Mark]:
    step = _round_step(scale.last / 10)
    for number in range(int(scale.last / step) + 1):
        yield Mark(scale.x(number * step), f"{number * step:g} s")


def _round_step(least: float) -> float:
    """Return the next of 1, 2, 5, 10, ... (and their parts) from `least` up."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * 0.999)


def _duration(seconds: float) -> str:
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s"


def _told(history: History) -> str:
    counted = Counter(op.outcome.value for op in history.operations)
    parts: Sequence[str] = [f"{counted[outcome.value]} {outcome.value}" for outcome in Outcome]
    return f"{len(history.operations)} operations ({', '.join(parts)}), {len(history.faults)} faults"
