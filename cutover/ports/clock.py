"""Time as one process knows it.

Every adapter passes resilience_tests/contract/clock/.
"""

from typing import Protocol


class Clock(Protocol):
    """A process's own clocks. None of them is compared with another process's."""

    def monotonic(self) -> float:
        """Seconds that only go forward."""

    def stamp(self) -> str:
        """The wall clock, for people to read; empty in a simulated run."""

    async def sleep(self, seconds: float) -> None:
        """Let that much of the clock pass."""
