"""`report.json`: what other tools may rely on. Documented in docs/reference/report.md.

A test reads the example there and compares it with what these classes write.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from drill.checkers.evidence import Scheduled
from drill.measures import Measures
from drill.verdict import Finding, Verdict, Witness, worst

SCHEMA = 1
"""Raised when a field changes its meaning or goes; a new field does not raise it."""

WITNESSES_MAX = 100
"""Most witnesses that a report lists for one checker; the last one then says how many more there were."""

Json = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillResult:
    """One drill: what was done, what is to be said of it, and how to do it again."""

    name: str
    seed: int
    fidelity: str  #: `simulated` or `live`
    schedule: tuple[Scheduled, ...]
    plant: str | None  #: the known-bad variant that was put in
    seconds: float  #: wall time to the verdict
    repeat: str  #: the command that repeats it; names the commit
    findings: tuple[Finding, ...]
    measures: Measures
    notes: tuple[str, ...] = ()  #: what was not judged, and why; changes no verdict
    history: Path | None = field(default=None, compare=False)  #: the file that the drill wrote

    @property
    def verdict(self) -> Verdict:
        """The worst of the findings."""
        return worst(finding.verdict for finding in self.findings)

    def to_json(self) -> Json:
        """Return the contract's entry of `drills`."""
        return {
            "name": self.name,
            "seed": self.seed,
            "fidelity": self.fidelity,
            "schedule": [
                {"fault": planned.fault, "victim": planned.victim, "point": planned.point}
                for planned in self.schedule
            ],
            "plant": self.plant,
            "verdict": self.verdict.value,
            "seconds": round(self.seconds, 3),
            "repeat": self.repeat,
            "notes": list(self.notes),
            "checkers": {finding.checker: _finding(finding) for finding in self.findings},
            "measures": _measures(self.measures),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a command that ran drills concludes."""

    started: str  #: ISO 8601 with offset, by the wall clock of who ran it
    seconds: float
    commit: str | None  #: of the checkout; None outside one
    drills: tuple[DrillResult, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of the drills; inconclusive when there was none."""
        return worst(drill.verdict for drill in self.drills)

    def to_json(self) -> Json:
        """Return the whole contract as plain JSON values."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict.value,
            "started": self.started,
            "seconds": round(self.seconds, 3),
            "commit": self.commit,
            "drills": [drill.to_json() for drill in self.drills],
        }


def history_name(number: int, drill: str) -> str:
    """Return where in a report's folder the history of its drill `number` (from 1) stands."""
    slug = re.sub(r"[^a-z0-9]+", "-", drill.lower()).strip("-")[:60] or "drill"
    return f"history/{number:03d}-{slug}.jsonl"


def shown(witnesses: tuple[Witness, ...]) -> tuple[Witness, ...]:
    """Return at most WITNESSES_MAX of them, and a last one that tells of the rest."""
    left = len(witnesses) - WITNESSES_MAX
    if left <= 0:
        return witnesses
    return (*witnesses[:WITNESSES_MAX], Witness(what=f"and {left} more like these"))


def _finding(finding: Finding) -> Json:
    return {
        "verdict": finding.verdict.value,
        "witnesses": [
            {
                "what": witness.what,
                "key": witness.key,
                "acknowledged_at": witness.acknowledged_at,
                "by": witness.by,
                "site": witness.site,
            }
            for witness in shown(finding.witnesses)
        ],
    }


def _measures(measures: Measures) -> Json:
    return {
        "operations": dict(measures.operations),
        "write_pause_ms": _finite(measures.write_pause_ms),
        "rpo": dict(measures.rpo),
        "rto_s": _all_finite(measures.rto_s),
        "lag_s": _finite(measures.lag_s),
        "amplification": _finite(measures.amplification),
    }


def _all_finite(values: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: _finite(value) for name, value in values.items()}


def _finite(value: float | None) -> float | None:
    """JSON has no infinity: what has no end was not measured to its end."""
    return value if value is not None and math.isfinite(value) else None
