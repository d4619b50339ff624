"""The clocks of the process that we run in."""

import asyncio
from datetime import UTC, datetime


class SystemClock:
    """Time of the running loop for waiting, the wall clock for people."""

    def monotonic(self) -> float:
        """Seconds of the loop's clock, which only goes forward."""
        return asyncio.get_running_loop().time()

    def stamp(self) -> str:
        """Now in UTC, to the millisecond, as ISO 8601."""
        return datetime.now(UTC).isoformat(timespec="milliseconds")

    async def sleep(self, seconds: float) -> None:
        """Let that much of the loop's clock pass."""
        await asyncio.sleep(seconds)
