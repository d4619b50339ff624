"""Objects per second of our S3 server beside moto's, in the same run: python -m benchmarks.s3_server.

4 KiB objects, put and got by a few threads of the same client, in rounds that
take turns, so that what else the machine does hits both. Ours answers after
its syncs; moto keeps everything in memory and syncs nothing.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import obstore
from obstore.store import S3Store

from resilience_tests.contract.s3.place import Account, connected
from resilience_tests.contract.s3.servers import moto_server, own_server

BUCKET: Final = "benchmark"
BODY: Final = os.urandom(4096)
ROUNDS: Final = 3
THREADS: Final = 16

ROUND_SECONDS: Final = 1.5
"""How long one server is asked for one thing in one round: 3 x 2 servers x 2 things x 1.5 s is 18 s."""


def open_store(account: Account) -> S3Store:
    """Make the bucket, and return a fast client of it."""
    with connected(account) as client:
        client.create_bucket(Bucket=BUCKET)
    return S3Store(
        BUCKET,
        endpoint=account.endpoint,
        access_key_id=account.access_key,
        secret_access_key=account.secret,
        region=account.region,
        client_options={"allow_http": True},
    )


def rate(operation: Callable[[str], object], prefix: str) -> float:
    """Return how often a second all threads together carry out `operation`."""
    deadline = time.perf_counter() + ROUND_SECONDS

    def work(thread: int) -> int:
        count = 0
        while time.perf_counter() < deadline:
            operation(f"{prefix}/{thread}/{count}")
            count += 1
        return count

    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as threads:
        done = sum(threads.map(work, range(THREADS)))
    return done / (time.perf_counter() - started)


def measure(stores: Mapping[str, S3Store]) -> dict[tuple[str, str], list[float]]:
    """Return rates by (operation, server), one for each round."""
    rates: dict[tuple[str, str], list[float]] = {}
    for round_ in range(ROUNDS):
        for server, store in stores.items():
            prefix = f"round-{round_}"

            def put(key: str, store: S3Store = store) -> None:
                obstore.put(store, key, BODY)

            def get(key: str, store: S3Store = store) -> None:
                obstore.get(store, f"{key.rpartition('/')[0]}/0").bytes()

            rates.setdefault(("put", server), []).append(rate(put, prefix))
            rates.setdefault(("get", server), []).append(rate(get, prefix))
    return rates


def report(rates: Mapping[tuple[str, str], list[float]]) -> str:
    lines = [
        f"4 KiB objects a second, {THREADS} threads, {ROUNDS} rounds of {ROUND_SECONDS} s: median (range)"
    ]
    for operation in ("put", "get"):
        own, moto = rates[operation, "own"], rates[operation, "moto"]
        ratio = statistics.median(own) / statistics.median(moto)
        lines.append(f"{operation}  own {spread(own)}  moto {spread(moto)}  own/moto {ratio:.1f}")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f}-{max(values):.0f})"


def main() -> int:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        accounts = {
            "own": stack.enter_context(own_server(Path(folder))).account,
            "moto": stack.enter_context(moto_server()),
        }
        rates = measure({server: open_store(account) for server, account in accounts.items()})
    sys.stdout.write(report(rates) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
