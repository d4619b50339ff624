"""Letting a death not wait for a processor: the dying, and whoever watches them, go before everybody else.

On a machine with more work than processors the processes of a site would die as
they get their turns, hundreds of milliseconds apart. All of this is best effort:
where it is not allowed, a death takes as long as it takes.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FIRST = os.sched_param(1)
_ALL_OF_CPU = (Path("/sys/fs/cgroup/cpu/cgroup.procs"), Path("/sys/fs/cgroup/cpu,cpuacct/cgroup.procs"))
"""The groups of everything: a kernel may give real time to no other group."""


@contextmanager
def urgent() -> Iterator[None]:
    """Let the calling thread go before all others."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, _FIRST)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def make_urgent(pids: Iterable[int]) -> None:
    """Let these processes, which are about to die, go before all others."""
    for pid in pids:
        for group in _ALL_OF_CPU:
            with suppress(OSError):
                group.write_text(str(pid))
        with suppress(OSError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setscheduler(int(thread), os.SCHED_FIFO, _FIRST)
