"""What a known-bad variant is."""

from collections.abc import Callable
from dataclasses import dataclass

from cutover.engine.parts import Parts
from sample_platform.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """One bug that somebody could have made, and the checker that must catch it.

    Where the engine has a defence that would stop the migration before any
    harm is done, the variant takes that out too, and its file says so: a plant
    proves a checker, not the engine.
    """

    name: str  #: kebab-case
    rule: str  #: the safety rule that it breaks, S1-S13
    checker: str  #: the checker meant for it
    about: str  #: one sentence: what is wrong
    of_copying: bool = False  #: a later write of the same row mends its harm, so few may follow the copy
    processes: frozenset[str]  #: of worker, agent, coordinator, platform: those that carry it
    in_parts: Callable[[Parts], Parts] = lambda parts: parts
    platform: type[Platform] = Platform  #: what a process of the kind `platform` makes of its ports
