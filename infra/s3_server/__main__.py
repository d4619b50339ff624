"""Run the server by hand: python -m infra.s3_server --settings FILE (a JSON object, see service.py)."""

import argparse
import asyncio
import json
import logging
import sys
from pathlib import Path

import uvloop

from infra.s3_server.service import serve


def main() -> int:
    """Serve until interrupted; print one line when connections are taken."""
    parser = argparse.ArgumentParser(prog="python -m infra.s3_server", description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, metavar="FILE")
    settings = json.loads(parser.parse_args().settings.read_text())
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)

    def ready() -> None:
        sys.stdout.write(f"serving on http://{settings['host']}:{settings['port']}\n")
        sys.stdout.flush()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(serve(settings, ready))
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
