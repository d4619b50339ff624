"""Build this checkout's image: python -m infra.images [--base IMAGE] [--docker-host URL]. Prints its tag."""

import argparse
import contextlib
import sys
import time

import docker
from docker.errors import DockerException

from infra.images.build import ensure_image
from infra.images.errors import ImageError


def main() -> int:
    """Build what is missing; exit status 0 when the image is there, 70 when it could not be made."""
    parser = argparse.ArgumentParser(prog="python -m infra.images", description=__doc__)
    parser.add_argument("--base", metavar="IMAGE", help="stand on this image instead of a local one")
    parser.add_argument("--docker-host", metavar="URL", help="engine to build on (default: as `docker` does)")
    told = parser.parse_args()
    began = time.monotonic()

    def progress(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began:6.1f} s  {line}\n")

    try:
        with contextlib.closing(_client(told.docker_host)) as client:
            tag = ensure_image(client, base=told.base, progress=progress)
    except (ImageError, DockerException) as error:
        sys.stderr.write(f"{error}\n")
        return 70
    sys.stdout.write(f"{tag}\n")
    return 0


def _client(host: str | None) -> docker.DockerClient:
    return docker.DockerClient(base_url=host) if host else docker.from_env()


if __name__ == "__main__":
    sys.exit(main())
