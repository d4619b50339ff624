"""What a known-bad variant is."""

from collections.abc import Callable
from dataclasses import dataclass

from cutover.engine.parts import Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """One bug that somebody could have made, and the checker that must catch it."""

    name: str  #: kebab-case
    rule: str  #: the safety rule that it breaks, S1-S13
    checker: str  #: the checker meant for it
    about: str  #: one sentence: what is wrong
    processes: frozenset[str]  #: of worker, agent, coordinator, platform: those that carry it
    in_parts: Callable[[Parts], Parts] = lambda parts: parts
