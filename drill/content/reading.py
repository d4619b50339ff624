"""Reads the folder of the user's own files; whatever cannot be moved is refused before anything is done."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from drill.content.metadata import NAME, Metadata, metadata_of, unsaid
from drill.content.tree import Tree, tree_of
from sample_platform.model import NewPost

PROBLEMS_SHOWN_MAX = 20
"""Most problems that one refusal lists; the last line then says how many more there are."""


class ContentRefused(ValueError):
    """A content folder cannot be moved as it is. Nothing was changed."""

    def __init__(self, *, folder: Path, problems: Sequence[str]) -> None:
        left = len(problems) - PROBLEMS_SHOWN_MAX
        told = [*problems[:PROBLEMS_SHOWN_MAX], *([f"and {left} more like these"] if left > 0 else [])]
        super().__init__(
            f"the content folder {os.fspath(folder)!r} was refused, and nothing was changed:\n  "
            + "\n  ".join(told)
        )
        self.folder, self.problems = folder, tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file to move, as it was when the folder was read."""

    path: str  #: relative to the folder; bytes that are not UTF-8 stand as lone surrogates
    size: int  #: bytes
    post: NewPost  #: what is told of it


@dataclass(frozen=True, kw_only=True)
class Content:
    """What is in a folder, in the order of the paths' bytes."""

    folder: Path
    files: tuple[File, ...]

    @cached_property
    def size(self) -> int:
        """Bytes, of all files together."""
        return sum(file.size for file in self.files)

    def where(self, file: File) -> Path:
        """Where its bytes are."""
        return self.folder / file.path


def read_content(folder: Path) -> Content:
    """Read what a folder holds, without reading the files themselves.

    Raises ContentRefused, with every problem that there is and what to do about it.
    """
    tree = _tree(folder)
    marked = tree.files.pop(NAME, None) is not None
    metadata = _metadata(folder, tree) if marked else Metadata()
    problems = [*tree.refused.values(), *metadata.refused]
    if not tree.files and not problems:
        problems = ["it holds no file, so there is nothing to move. Put files into it, or name another."]
    if problems:
        raise ContentRefused(folder=folder, problems=problems)
    files = (
        File(path=path, size=size, post=metadata.posts.get(path) or unsaid(path))
        for path, size in tree.files.items()
    )
    ordered = sorted(files, key=lambda file: os.fsencode(file.path))
    return Content(folder=folder.resolve(), files=tuple(ordered))


def _tree(folder: Path) -> Tree:
    try:
        tree = tree_of(folder)
    except FileNotFoundError:
        why = "there is no such folder. Mend the path."
    except NotADirectoryError:
        why = "it is not a folder. Name the folder that the files are in."
    except OSError as error:
        why = f"it cannot be listed: {error.strerror}. Make it readable."
    else:
        if NAME in tree.folders:
            tree.refused[NAME] = (
                f"{NAME} is a folder, but must be a file with an object a line. Rename or remove it."
            )
        return tree
    raise ContentRefused(folder=folder, problems=[why])


def _metadata(folder: Path, tree: Tree) -> Metadata:
    try:
        with (folder / NAME).open("rb") as lines:
            return metadata_of(lines, tree)
    except OSError as error:
        return Metadata(refused=[f"{NAME} cannot be read: {error.strerror}. Make it readable."])
