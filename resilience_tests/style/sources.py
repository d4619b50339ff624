"""The files of this repository, as the rules of style see them."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PRODUCTION = ("cutover", "infra", "sample_platform")
ROOTS = (*PRODUCTION, "drill", "resilience_tests", "benchmarks", "scripts", "docs", "locks", ".ci")
"""What is committed and ours. Walked rather than asked of git, so that an unpacked archive is judged too."""

TEXTS = (".py", ".sql", ".md", ".toml", ".yaml", ".html", ".txt", "")


@dataclass(frozen=True)
class Source:
    """One file; `path` is relative to the root of the repository."""

    path: str
    text: str

    @property
    def lines(self) -> list[str]:
        """Its lines, the first at index 0."""
        return self.text.splitlines()

    @property
    def production(self) -> bool:
        """Whether it is part of what runs at a site or moves one."""
        return self.path.split("/")[0] in PRODUCTION

    @property
    def test(self) -> bool:
        """Whether it judges."""
        return self.path.startswith("resilience_tests/")

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax."""
        return ast.parse(self.text, self.path)

    def at(self, line: int) -> str:
        """`path:line`, for a message that an editor can follow."""
        return f"{self.path}:{line}"


@cache
def sources() -> tuple[Source, ...]:
    """Every text file of ours."""
    return tuple(sorted(_read(), key=lambda one: one.path))


def modules() -> tuple[Source, ...]:
    """Every Python file of ours."""
    return tuple(one for one in sources() if one.path.endswith(".py"))


def pages() -> tuple[Source, ...]:
    """Every page for people."""
    return tuple(one for one in sources() if one.path.endswith(".md"))


def _read() -> Iterator[Source]:
    top = [
        path for path in ROOT.iterdir() if path.is_file() and path.suffix in (".md", ".toml", ".py", ".yaml")
    ]
    below = [path for root in ROOTS for path in (ROOT / root).rglob("*") if path.is_file()]
    for path in [*top, *below]:
        relative = path.relative_to(ROOT)
        if path.suffix in TEXTS and "__pycache__" not in relative.parts:
            yield Source(str(relative), path.read_text(encoding="utf-8"))
