"""Which of the locked packages run inside a container: those of the project and of its extra `embedded`.

The lock of the checkout is one for everything, development too. Each block of
it says `# via` whom a package is needed, so what runs is found by following
that from the project's own list.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from infra.images.errors import WrongLock

EXTRAS = ("embedded",)
"""Extras of the project that are installed: the PostgreSQL programs and what serves HTTP."""


@dataclass(frozen=True, slots=True)
class Locked:
    """One block of the lock."""

    name: str
    text: str  #: pinned version, marker, hashes
    needed_by: frozenset[str]


def runtime_requirements(lock: str, project: str) -> str:
    """Return the part of the `lock` (text) that a container needs, hashes and all.

    `project` is the text of pyproject.toml. Raises WrongLock when a package of
    the project is not in the lock.
    """
    blocks = {block.name: block for block in read_lock(lock)}
    wanted = wanted_packages(project)
    if missing := wanted - blocks.keys():
        raise WrongLock(f"the lock does not have {', '.join(sorted(missing))}; make it anew")
    return "".join(blocks[name].text for name in sorted(_closure(wanted, blocks)))


def wanted_packages(project: str) -> set[str]:
    """Return the names that pyproject.toml itself asks for."""
    told = tomllib.loads(project)["project"]
    extras = (told["optional-dependencies"][extra] for extra in EXTRAS)
    lines = [*told["dependencies"], *(line for extra in extras for line in extra)]
    return {_normal(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in lines}


def read_lock(lock: str) -> Iterator[Locked]:
    """Split a lock into its blocks; one begins at each line that is neither indented nor a comment."""
    for text in re.split(r"^(?=[^\s#])", lock, flags=re.MULTILINE):
        if pinned := re.match(r"([\w.-]+)(?:\[[\w,-]*\])?==", text):
            needed_by = re.findall(r"^ +# +(?:via +)?([\w.-]+)", text, flags=re.MULTILINE)
            yield Locked(_normal(pinned[1]), text, frozenset(_normal(one) for one in needed_by))


def _closure(wanted: set[str], blocks: Mapping[str, Locked]) -> set[str]:
    found, last = set(wanted), set[str]()
    while found != last:
        last = set(found)
        found |= {name for name, block in blocks.items() if block.needed_by & last}
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
