"""Starting the supervisor of a stack, and the lease that ties it to us."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from infra.embedded.errors import ProcessFailed
from infra.embedded.processes import MARKER
from infra.embedded.state import StackFolder
from infra.s3_engines.outside import SECRET

_CHECKOUT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """Return what all processes of a stack are told: the account of a store is read from a file."""
    return {name: value for name, value in os.environ.items() if name != SECRET}


def start_supervisor(folder: StackFolder, lock: int, *, keep: bool) -> socket.socket:
    """Start the supervisor in a session of its own; return our end of its lease.

    The lease closes when we close it or die, by whatever signal; then a stack
    that is not to be kept ends by itself. The stack's lock is handed over.
    """
    ours, theirs = socket.socketpair()
    argv = [
        sys.executable,
        "-m",
        "infra.embedded.supervisor",
        str(folder.path),
        str(folder.socket("control")),
    ]
    argv += [str(theirs.fileno()), str(lock), *(["--keep"] if keep else [])]
    log = folder.log("supervisor")
    try:
        with open(log, "ab") as output:
            status = subprocess.call(
                argv,
                cwd=_CHECKOUT,
                env={**environment(), MARKER: str(folder.path), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno(), lock],
            )
    finally:
        theirs.close()
        os.close(lock)
    if status:
        ours.close()
        raise ProcessFailed(f"the supervisor ended with status {status}; its log: {log.read_text()[-2000:]}")
    return ours
