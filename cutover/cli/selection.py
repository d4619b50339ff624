"""Which migration a command is about, and where its stack's outputs lie.

`run` remembers the plan in the state folder, so that the other commands find
the only one without being told. What is remembered is a path: whether the file
still is the plan that the migration was begun with is said by the journal.
"""

import json
import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path

from cutover.cli.plan_file import PlanFile, read_plan
from cutover.cli.state_files import (
    DEFAULT,
    DOCKER,
    EMBEDDED,
    PULUMI,
    kind_of,
    outputs_here,
    stacks_folder,
    stacks_here,
    state_folder,
)
from cutover.errors import BadInput
from cutover.model.outputs import Credentials, InvalidOutputs, Outputs
from cutover.model.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The plan and the outputs that a command works on."""

    plan: Plan
    path: Path  #: of the plan file
    outputs_path: Path
    outputs: Outputs
    named: bool = False  #: the caller said which plan, so the next commands must, too

    def command(self, words: str) -> str:
        """A command about the same migration, for `next_steps`."""
        named = f" --plan {shlex.quote(str(self.path))}" if self.named else ""
        return f"cutover {words}{named}"


def select(plan: Path | None, stack: str | None) -> Selection:
    """Find plan and outputs; BadInput says what is missing, or which of several to name."""
    if plan is not None:
        return _selection(read_plan(plan), stack, named=True)
    path, remembered = _only_remembered()
    return _selection(read_plan(path), stack or remembered, named=False)


def remember(selection: Selection) -> None:
    """Let later commands find this migration without being told."""
    folder = _plans_folder()
    folder.mkdir(parents=True, exist_ok=True)
    document = {"plan": str(selection.path.absolute()), "stack": str(selection.outputs_path.absolute())}
    scratch = folder / f".{selection.plan.name}.{os.getpid()}"
    scratch.write_text(json.dumps(document))
    scratch.replace(folder / f"{selection.plan.name}.json")


def forget(plan: Plan) -> None:
    """Undo `remember`."""
    (_plans_folder() / f"{plan.name}.json").unlink(missing_ok=True)


def read_outputs(path: Path) -> Outputs:
    """Read a stack's outputs; BadInput names the place in the file."""
    try:
        return Outputs.from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(
            f"outputs {str(path)!r} cannot be read: {error.strerror}. Is the stack up (`cutover stack up`)? "
            f"Else name its outputs.json with --stack."
        ) from None
    except (InvalidOutputs, UnicodeDecodeError) as error:
        raise BadInput(f"outputs {str(path)!r}: {error}. Write them again with the stack's tool.") from None


def read_credentials(path: Path) -> Credentials:
    """Read a credentials file; BadInput when it is wrong or when others may read it."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise BadInput(
                f"credentials {str(path)!r} can be read by others (mode {mode:04o}). "
                f"Run `chmod 600 {shlex.quote(str(path))}`, and change the secrets if others had access."
            )
        return Credentials.from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(
            f"credentials {str(path)!r} cannot be read: {error.strerror}. The outputs name this file."
        ) from None
    except (InvalidOutputs, UnicodeDecodeError) as error:
        raise BadInput(
            f"credentials {str(path)!r}: {error}. Write them again with the stack's tool."
        ) from None


def find_outputs(stack: str | None, plan_file: PlanFile) -> Path:
    """Where the outputs lie: as the caller says, else as the plan says, else of the only stack here."""
    if stack is not None:
        return resolve_stack(stack, Path())
    if plan_file.stack is None:
        return _the_only(stacks_here(), "")
    return resolve_stack(plan_file.stack, plan_file.path.parent)


def resolve_stack(stack: str, folder: Path) -> Path:
    """The outputs.json that `stack` means; a path is relative to `folder`."""
    kind, _, name = stack.partition(":")
    if kind == PULUMI:
        from cutover.cli.stack import outputs_of_pulumi

        return outputs_of_pulumi(name)
    if kind not in (EMBEDDED, DOCKER):
        return folder / Path(stack).expanduser()
    if name:
        return outputs_here(name)
    of_kind = [path for path in stacks_here() if kind_of(path) == kind]
    main = outputs_here(DEFAULT)
    return main if main in of_kind else _the_only(of_kind, kind)


def _the_only(found: list[Path], kind: str) -> Path:
    if len(found) == 1:
        return found[0]
    if not found:
        named = f" --stack {kind}" if kind == DOCKER else ""
        raise BadInput(
            f"no stack {f'of kind {kind} ' if named else ''}is up here (looked in {stacks_folder()}). "
            f"Run `cutover stack up{named}`, or name an outputs.json with --stack."
        )
    names = ", ".join(f"{kind_of(path)}:{path.parent.name}" for path in found)
    raise BadInput(f"{len(found)} stacks are up here: {names}. Name one with --stack.")


def _selection(file: PlanFile, stack: str | None, *, named: bool) -> Selection:
    path = find_outputs(stack, file)
    outputs = read_outputs(path)
    for role, site in (("source", file.plan.source), ("target", file.plan.target)):
        if site not in outputs.sites:
            raise BadInput(
                f"{file.path.name}: {role} {site!r} is not a site of stack {outputs.name!r}, which has "
                f"{', '.join(sorted(outputs.sites))}. Name one of them, or another stack."
            )
    return Selection(plan=file.plan, path=file.path, outputs_path=path, outputs=outputs, named=named)


def _only_remembered() -> tuple[Path, str]:
    found = sorted(_plans_folder().glob("[!.]*.json"))
    if not found:
        raise BadInput(
            f"no migration is known here (looked in {_plans_folder()}). "
            f"Name its plan with --plan PLAN or CUTOVER_PLAN, or begin one with `cutover run PLAN`."
        )
    if len(found) > 1:
        listed = "\n".join(f"  {path.stem}: {_remembered(path)[0]}" for path in found)
        raise BadInput(f"{len(found)} migrations are known here; name one with --plan PLAN:\n{listed}")
    return _remembered(found[0])


def _remembered(path: Path) -> tuple[Path, str]:
    try:
        document = json.loads(path.read_text())
        return Path(document["plan"]), str(document["stack"])
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(
            f"{str(path)!r} does not say which plan it stands for. Remove it, and name the plan with --plan."
        ) from None


def _plans_folder() -> Path:
    """In the user's own state folder: a folder that somebody else prepared could name any plan."""
    state = state_folder()
    if state.exists() and state.stat().st_uid != os.geteuid():
        raise BadInput(f"{str(state)!r} belongs to another user. Set CUTOVER_STATE to a folder of your own.")
    return state / "plans"
