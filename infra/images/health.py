"""Health checks that start no interpreter: they run every second beside what they check."""

from infra.images.places import READY

PG_ISREADY = "/opt/cutover/bin/pg_isready"


def health_command(kind: str, port: int | None) -> list[str]:
    """Return the check of one kind of container, as Docker's `healthcheck.test`.

    `kind` is "postgres" or that of a service; `port` is None for a service
    that listens nowhere.
    """
    if kind == "postgres":
        return ["CMD", PG_ISREADY, "-q", "-h", "127.0.0.1", "-p", str(port), "-t", "2"]
    says_ready = f"test -s {READY}"
    if port is None:
        return ["CMD", "sh", "-c", says_ready]
    return ["CMD", "bash", "-c", f"{says_ready} && exec 3<>/dev/tcp/127.0.0.1/{port}"]
