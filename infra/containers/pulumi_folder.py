"""The files that this machine keeps about a stack that Pulumi made: the stack itself is Pulumi's.

A folder is *at rest* when it was published by a command, and no harness is on
it: such files stay for as long as the user wants them. One that a harness took
without them being there before goes with that harness, once it has given the
stack back: until then only its description knows which run is served.
"""

import shutil
from dataclasses import replace
from pathlib import Path

from infra.components.exports import Published
from infra.containers.claims import PULUMI
from infra.containers.description import CONTAINERS, EVER_MADE, ContainerDescription
from infra.containers.publishing import publish
from infra.embedded.errors import StackInUse
from infra.embedded.loan import unused_run
from infra.embedded.reaper import kill_leftovers
from infra.embedded.state import StackFolder, StateFolder, is_locked, take_lock, write_file

FIRST_RUN = 1
"""The run that Pulumi's program declares; drills have runs of their own and never touch it."""


def description_of(folder: StackFolder) -> ContainerDescription | None:
    """Return how a stack of Pulumi's is described here; None where it is another's, or no folder."""
    if folder.kind != CONTAINERS:
        return None
    found = ContainerDescription.load(folder)
    return found if found.made_by == PULUMI else None


def at_rest(folder: StackFolder) -> bool:
    """Say whether these are published files only, or a note of what is served: no harness has them."""
    found = description_of(folder)
    return found is not None and _stays(found) and not folder.processes.exists()


def _stays(told: ContainerDescription) -> bool:
    return told.keep or told.run != FIRST_RUN


def is_lent(name: str) -> bool:
    """Say whether a stack still serves a run of drills, though no harness has it."""
    state = StateFolder.open()
    folder = state.stack(name)
    with state.allocating():
        found = description_of(folder)
        return found is not None and found.run != FIRST_RUN and not is_locked(folder.lock)


def must_be_free(name: str) -> None:
    """Raise StackInUse while a harness has the stack."""
    state = StateFolder.open()
    folder = state.stack(name)
    with state.allocating():
        if description_of(folder) is not None and is_locked(folder.lock):
            raise StackInUse(f"a harness drills on pulumi:{name}; wait until it has ended")


def publish_here(published: Published) -> Path:
    """Write the outputs and credentials of a stack, and return its outputs.json. Raises StackInUse.

    Where a harness has the stack it writes them itself, and its own stay.
    """
    state = StateFolder.open()
    folder = state.stack(published.settings.name)
    with state.allocating():
        before = _ours(folder)
        if before is None or not is_locked(folder.lock):
            run = before.run if before else FIRST_RUN
            told = ContainerDescription(settings=published.settings, keep=True, made_by=PULUMI, run=run)
            folder.make()
            told.save(folder)
            write_file(key_file(folder), published.key.reveal())
            publish(folder, told, published.keys)
    return folder.path / "outputs.json"


def take_folder(state: StateFolder, published: Published) -> tuple[StackFolder, ContainerDescription, int]:
    """Make the folder a harness's, whatever a dead one left in it; return it with its lock.

    The description that is returned names the run that was the last one, which `fresh` ends
    before it begins another. To be saved before anything is done to the stack: until then
    what was served is. Raises StackInUse when a living harness has it.
    """
    folder = state.stack(published.settings.name)
    with state.allocating():
        before = _ours(folder)
        if before is not None:
            if is_locked(folder.lock):
                raise StackInUse(f"another harness drills on pulumi:{folder.name}; wait until it has ended")
            clear(folder)
        (state.root / EVER_MADE).touch()
        told = ContainerDescription(
            settings=published.settings,
            keep=bool(before and before.keep),
            made_by=PULUMI,
            run=before.run if before else FIRST_RUN,
        )
        folder.make()
        told.save(folder)
        write_file(key_file(folder), published.key.reveal())
        last = replace(told, run=unused_run()) if told.run == FIRST_RUN else told
        return folder, last, take_lock(folder.lock)


def clear(folder: StackFolder) -> None:
    """End what a harness ran and remove what it wrote; what was published before it came stays.

    So does all of it while the stack serves a run of drills: whoever gives it back must know.
    """
    kill_leftovers(folder)
    shutil.rmtree(folder.reach, ignore_errors=True)
    found = description_of(folder)
    if found is None or not _stays(found):
        shutil.rmtree(folder.path, ignore_errors=True)
        return
    for file in (folder.processes, folder.lock):
        file.unlink(missing_ok=True)


def forget(name: str) -> None:
    """Remove the files of a stack that is gone, or that nobody wants to use from here. Raises StackInUse."""
    must_be_free(name)
    state = StateFolder.open()
    folder = state.stack(name)
    with state.allocating():
        if description_of(folder) is not None:
            clear(folder)
            shutil.rmtree(folder.path, ignore_errors=True)


def key_file(folder: StackFolder) -> Path:
    """Return where the key of a stack is kept."""
    return folder.credentials / "key"


def _ours(folder: StackFolder) -> ContainerDescription | None:
    """Return the description if there is one; StackInUse when the name belongs to another kind of stack."""
    found = description_of(folder)
    if found is None and folder.path.exists():
        raise StackInUse(
            f"a stack of this machine is called {folder.name!r} already, and keeps its files where those of "
            f"Pulumi's would be; take it down, or set CUTOVER_STATE to another folder"
        )
    return found
