"""The job: the user's own files, moved once calmly and once with the source killed, under load."""

import asyncio
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from shutil import disk_usage

from drill.checkers.evidence import ContentFile
from drill.content.disk import files
from drill.content.reading import Content, read_content
from drill.content.uploads import PROCESS, Uploads
from drill.drills import Drill
from drill.history import history_of, read_history
from drill.live.runner import GOAL_SECONDS, LiveDrill
from drill.live.stacks import Stack
from drill.live.suite import Suite
from drill.measures import longest_write_pause
from drill.report import DrillResult, Report, history_name
from drill.workload.clients import Amount
from infra.embedded.stack import list_stacks
from infra.embedded.state import StateFolder

KEPT = "main"
"""The stack that `--keep-stack` leaves: the one that `cutover stack status` shows when none is named."""

STAGES = ("backfill", "catch-up", "verify", "drain", "cut-over")
"""Where the source may be killed; the seed chooses. In soak it serves nobody any more."""

SLOWEST_BYTES_PER_SECOND = 4_000_000
"""A migration may take this long on top (bytes per second): copied once, compared, and after a kill again."""

SLOWEST_FILES_PER_SECOND = 40
"""And this long for their number: each is synced to disk at the target."""

OPERATIONS_PER_SECOND_MAX = 400
"""More than the clients do in a second, so that the load lasts as long as the migration."""

COPIES = 5
"""How often the bytes lie on this disk: at two sites, in two drills, and on their way."""

ROOM_BYTES = 1 << 30
"""What the stack needs beside them (bytes)."""

Tell = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class ContentSuite(Suite):
    """Two drills on the same files, each on a fresh run of the stack."""

    content: Content
    seed: int
    _stack: Stack | None = None

    @classmethod
    def of(
        cls, content: Path, *, seed: int, folder: Path, tell: Tell, keep_stack: bool = False
    ) -> "ContentSuite":
        """Read the folder `content`; the report goes to `folder`. Raises ValueError, as ContentRefused is."""
        read = read_content(content)
        check_apart(read, folder)
        tell(f"content: {len(read.files)} files, {read.size / 1e6:.1f} MB in {os.fspath(read.folder)!r}")
        return cls(
            content=read,
            seed=seed,
            drills=drills(seed),
            folder=folder,
            tell=tell,
            amount=Amount(most=int(goal_seconds(read) * OPERATIONS_PER_SECOND_MAX)),
            keep_stack=keep_stack,
            name=KEPT if keep_stack else None,
        )

    async def run(self) -> Report:
        """Run both drills. Raises ValueError when a kept stack is in the way, OSError when the disk is full.

        With `keep_stack` the stack stays as the second drill left it: in soak, everything at the new site.
        """
        check_room(self.content)
        if self.keep_stack and self.name:
            check_free(self.name)
        try:
            report = await Suite.run(self)
        except BaseException:
            await asyncio.shield(self._take_down())
            raise
        if self.keep_stack and self._stack:
            await self._stack.close()
            self.tell("the stack stays up. Look: cutover stack status --json   End it: cutover stack down")
        return report

    async def _one(self, stack: Stack, number: int, drill: Drill, commit: str | None) -> DrillResult:
        self._stack = stack
        self.tell(f"[{number}/{len(self.drills)}] {drill.name}")
        manifest: dict[str, ContentFile] = {}
        uploads = Uploads(
            content=self.content,
            random=Random(f"content {drill.seed}"),
            tell=lambda line: self.tell(f"[{number}/{len(self.drills)}] {line}"),
            manifest=manifest,
        )
        live = LiveDrill(
            stack,
            self.plan,
            drill,
            self.folder / history_name(number, drill.name),
            amount=self.amount,
            prepare=uploads.run,
            content=manifest,
            goal_seconds=goal_seconds(self.content),
        )
        result = await live.run(commit=commit)
        seen = await files(self.content, manifest.values(), uploads.problems)
        return replace(
            result,
            repeat=self._repeat(commit),
            findings=(*result.findings, seen),
            measures=replace(result.measures, write_pause_ms=pause_of_the_load(live.history_file)),
        )

    async def _take_down(self) -> None:
        """What was to be kept is of no use when the job broke off."""
        if self.keep_stack and self._stack:
            await self._stack.down()

    def _repeat(self, commit: str | None) -> str:
        command = f"cutover-drill gate --content {shell_word(self.content.folder)} --seed {self.seed}"
        return command + (f"   # at commit {commit}" if commit else "")


def drills(seed: int) -> list[Drill]:
    """A calm one, and one that kills the source as a seeded stage begins."""
    stage = Random(f"content {seed}").choice(STAGES)
    return [Drill(seed=seed), Drill(seed=seed + 1, fault="kill", victim="source", point=stage)]


def pause_of_the_load(history: Path) -> float | None:
    """The longest write pause (milliseconds) among the clients: a large file on its way up is no pause."""
    events = [event for event in read_history(history) if not event.process.startswith(PROCESS)]
    pause = longest_write_pause(history_of(events))
    return None if pause is None else round(pause.seconds * 1000, 1)


def goal_seconds(content: Content) -> float:
    """How long one migration of it may take."""
    files_s = len(content.files) / SLOWEST_FILES_PER_SECOND
    return GOAL_SECONDS + content.size / SLOWEST_BYTES_PER_SECOND + files_s


def shell_word(path: Path) -> str:
    """A path as a word of a bash command, in printable text whatever its bytes are."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    if text == os.fspath(path) and text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(_escaped(byte) for byte in os.fsencode(path)) + "'"


def _escaped(byte: int) -> str:
    plain = chr(byte)
    return plain if 32 <= byte < 127 and plain not in "'\\" else f"\\x{byte:02x}"


def check_room(content: Content) -> None:
    """Raises OSError when the disk cannot hold what the drills make of it."""
    folder = StateFolder.open().root
    needed, free = content.size * COPIES + ROOM_BYTES, disk_usage(folder).free
    if free < needed:
        raise OSError(
            f"the content takes {content.size} bytes, so its drills need {needed} on the disk of {folder}, "
            f"and {free} are free; nothing was changed. Make room, or let CUTOVER_STATE name another folder."
        )


def check_apart(content: Content, report: Path) -> None:
    """Raises ValueError when the report would be written among the files."""
    if report.resolve().is_relative_to(content.folder):
        raise ValueError(
            f"the report would go to {os.fspath(report)!r}, inside the content folder; nothing was changed. "
            f"Name a folder elsewhere with --report."
        )


def check_free(name: str) -> None:
    """Raises ValueError when a stack of this name is up."""
    if name in list_stacks():
        raise ValueError(
            f"the stack {name!r}, which --keep-stack would leave, is up already; nothing was changed. "
            f"Take it down first: cutover stack down"
        )
