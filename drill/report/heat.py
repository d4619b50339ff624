"""A heat map: a table of verdicts, as a report shows what a matrix found."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatCell:
    """What came of all drills of one row and one column."""

    verdict: str  #: held, inconclusive or violated; empty: nothing was to be tried
    text: str
    told: str = ""  #: what shows when one points at it


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """One table: a name for each row, and a cell for each of `columns`."""

    title: str
    about: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[HeatCell]]]
