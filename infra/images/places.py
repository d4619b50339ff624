"""Where everything lies inside a container, and who runs there."""

from pathlib import Path

UPLOADED = Path("/etc/cutover")
"""Files put there from outside, as whoever puts them owns them."""

RUNNING = Path("/run/cutover")
"""The service's own copies of them, its sockets, its readiness; a tmpfs, made anew by each start."""

TASK = RUNNING / "service.json"

READY = RUNNING / "ready"
"""Empty while a service starts, not empty once it serves."""

DATA = Path("/data")
"""The volume: all that a container keeps over its end."""

CODE = Path(__file__).resolve().parents[2]
"""Our own packages, and the files that lie in them."""

UID = 10001
"""The user `cutover`, its group too: nothing serves as root."""
