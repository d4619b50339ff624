"""Our code compiled ahead: a start is mostly imports, and the user of a container may write nowhere near.

What was compiled is kept by its content, so after a change only the changed
files are compiled.
"""

import contextlib
import hashlib
import importlib.util
import marshal
import os
import struct
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

_UNCHECKED_HASH = 0b01
"""Flag in a compiled file: it belongs to a source with this digest, and need not be compared to it."""


def our_python() -> str:
    """Return the version that we compile for: "3.11"."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def compiled(sources: Mapping[str, bytes], folder: str, cache: Path) -> dict[str, bytes]:
    """Return the compiled form of each Python file in `sources`, by its path beside them.

    `folder` is where they will lie (tracebacks say so). `cache` is a folder of
    this purpose alone: what the call does not use is removed from it.
    """
    cache.mkdir(exist_ok=True)
    kept = {name: cache / digest for name, digest in _digests(sources, folder)}
    found = {_beside(name): _compiled(sources[name], f"{folder}/{name}", path) for name, path in kept.items()}
    for path in set(cache.glob("[!.]*")) - set(kept.values()):
        path.unlink(missing_ok=True)
    return {name: content for name, content in found.items() if content}


def _digests(sources: Mapping[str, bytes], folder: str) -> Iterator[tuple[str, str]]:
    for name, text in sources.items():
        if name.endswith(".py"):
            head = importlib.util.MAGIC_NUMBER + f"{folder}/{name}\0".encode()
            yield name, hashlib.sha256(head + text).hexdigest()


def _compiled(source: bytes, path: str, kept: Path) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        return kept.read_bytes()
    try:
        code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    except SyntaxError:  # whoever imports it is told
        return b""
    flags = struct.pack("<L", _UNCHECKED_HASH)
    content = importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source) + marshal.dumps(code)
    scratch = kept.with_name(f".{kept.name}.{os.getpid()}")
    scratch.write_bytes(content)
    scratch.replace(kept)
    return content


def _beside(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.parent / "__pycache__" / f"{path.stem}.{sys.implementation.cache_tag}.pyc")
