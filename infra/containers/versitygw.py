"""versitygw as the object store of a stack of containers: an image around the released binary."""

import io
import tarfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import docker
import docker.errors

from infra.embedded.errors import ProcessFailed

PORT = 9000

DOCKERFILE = """\
ARG BASE
FROM ${BASE}
ADD versitygw /usr/local/bin/versitygw
LABEL cutover.image="versitygw"
ENTRYPOINT ["/usr/local/bin/versitygw"]
"""

SETTINGS: Mapping[str, Any] = {
    "s3_command": ("--port", f":{PORT}", "--region", "{region}", "--keep-alive", "--quiet", "posix", "/data"),
    "s3_variables": ("ROOT_ACCESS_KEY", "ROOT_SECRET_KEY"),
    "s3_health": ("CMD", "bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{PORT}"),
    "s3_data": "/data",
    "s3_port": PORT,
    "s3_keys": "paths",
}
"""What the blueprint is told of it."""


def ensure_image(client: docker.DockerClient, base: str, program: Path) -> str:
    """Return the tag of an image with this binary on `base`, built if the engine does not have it."""
    content = program.read_bytes()
    tag = f"cutover-versitygw:{sha256(base.encode() + DOCKERFILE.encode() + content).hexdigest()[:12]}"
    try:
        client.images.get(tag)
    except docker.errors.ImageNotFound:
        try:
            client.images.build(
                fileobj=_context(content), custom_context=True, tag=tag, buildargs={"BASE": base}, rm=True
            )
        except docker.errors.BuildError as error:
            raise ProcessFailed(f"no image of versitygw could be built: {error}") from None
    return tag


def _context(program: bytes) -> io.BytesIO:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content, mode in (
            ("Dockerfile", DOCKERFILE.encode(), 0o644),
            ("versitygw", program, 0o755),
        ):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    packed.seek(0)
    return packed
