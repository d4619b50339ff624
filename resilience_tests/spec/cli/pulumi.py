"""A stand-in for the `pulumi` command: it writes down how it was called, and answers what was prepared."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.blueprint.settings import StackSettings
from infra.components.exports import KEY, OUTPUTS, SETTINGS, document_of

SECRET = "hunter2-" * 4
"""The key of every stack here: whatever prints it, or what is derived from it, tells a secret."""

PROGRAM = """\
#!{python} -IS
import json, os, pathlib, sys
here = pathlib.Path({folder!r})
words = sys.argv[1:]
with open(here / "calls", "a") as file:
    file.write(json.dumps([words, os.getcwd()]) + "\\n")
told = json.loads((here / "told.json").read_text())
answer = told.get(words[0], {{}})
sys.stdout.write(answer.get("prints", ""))
sys.stderr.write(answer.get("says", ""))
sys.exit(answer.get("status", 0))
"""


@dataclass(frozen=True, slots=True)
class Pulumi:
    """The command, and what it is to answer."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Pulumi":
        """Put the command into `folder`, which belongs on PATH."""
        folder.mkdir()
        program = folder / "pulumi"
        program.write_text(PROGRAM.format(python=sys.executable, folder=str(folder)))
        program.chmod(0o755)
        made = cls(folder)
        made.tell()
        return made

    def tell(self, **answers: dict[str, Any]) -> None:
        """Prepare answers by subcommand: what it `prints`, what it `says` on standard error, its `status`."""
        usual = {"up": {"prints": "Resources: 1 created\n"}, "stack": {"prints": json.dumps(outputs())}}
        scratch = self.folder / f"told.{os.getpid()}"
        scratch.write_text(json.dumps({**usual, **answers}))
        scratch.replace(self.folder / "told.json")

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of each call so far."""
        return [words for words, _ in self._calls()]

    @property
    def places(self) -> set[str]:
        """The working directories of the calls."""
        return {place for _, place in self._calls()}

    def _calls(self) -> list[tuple[list[str], str]]:
        file = self.folder / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def outputs(settings: StackSettings | None = None) -> dict[str, Any]:
    """What `pulumi stack output --json --show-secrets` prints of a stack of our program."""
    told = settings or StackSettings(name="dev", image="cutover-site:test")
    return {OUTPUTS: {}, SETTINGS: document_of(told), KEY: SECRET}
