"""Build this checkout's image and print its tag.

python -m infra.images [--base IMAGE] [--docker-host URL] [--forget-others]
python -m infra.images --context FOLDER [--python 3.12] [--machine aarch64]    for a builder of your own
"""

import argparse
import contextlib
import platform
import sys
import time
from pathlib import Path

import docker
from docker.errors import DockerException

from infra.images.build import PYTHONS, ensure_image, forget_images, read_inputs, write_context
from infra.images.errors import ImageError


def main() -> int:
    """Build what is missing; exit status 0 when the image is there, 70 when it could not be made."""
    parser = argparse.ArgumentParser(prog="python -m infra.images", description=str(__doc__).splitlines()[0])
    parser.add_argument("--base", metavar="IMAGE", help="stand on this image instead of a local one")
    parser.add_argument("--docker-host", metavar="URL", help="engine to build on (default: as `docker` does)")
    parser.add_argument("--forget-others", action="store_true", help="remove images of other states")
    parser.add_argument("--context", metavar="FOLDER", type=Path, help="only write what the Dockerfile needs")
    parser.add_argument("--python", metavar="VERSION", default="3.11", choices=PYTHONS, help="of that base")
    parser.add_argument("--machine", metavar="NAME", default=platform.machine(), help="of that base")
    told = parser.parse_args()
    began = time.monotonic()

    def progress(line: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began:6.1f} s  {line}\n")

    try:
        if told.context:
            told.context.mkdir(parents=True, exist_ok=True)
            write_context(told.context, read_inputs(), told.python, told.machine, progress)
            return 0
        with contextlib.closing(_client(told.docker_host)) as client:
            tag = ensure_image(client, base=told.base, progress=progress)
            for gone in forget_images(client, tag) if told.forget_others else ():
                progress(f"forgotten: {gone}")
    except (ImageError, DockerException) as error:
        sys.stderr.write(f"{error}\n")
        return 70
    sys.stdout.write(f"{tag}\n")
    return 0


def _client(host: str | None) -> docker.DockerClient:
    """Return the engine; over ssh by the ssh program of this machine, with its configuration."""
    if host is None:
        return docker.from_env(use_ssh_client=True)
    return docker.DockerClient(base_url=host, use_ssh_client=host.startswith("ssh://"))


if __name__ == "__main__":
    sys.exit(main())
