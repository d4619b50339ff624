"""Changes of the register, each a compare-and-set that is tried again on a fresh read."""

from collections.abc import Callable
from dataclasses import replace

from cutover.engine.parts import Parts
from cutover.errors import Refused, Superseded
from cutover.model.register import Grant, Registered

ATTEMPTS = 20
"""Compare-and-sets before giving up: the only rivals are two agents that renew once a second."""


async def read_register(parts: Parts) -> Registered:
    """The register; Refused when the witness has none, for it is made once, by `cutover run`."""
    found = await parts.register.read()
    if found is None:
        raise Refused(
            f"the witness holds no register for migration {parts.plan.name!r}, yet it was made when the "
            f"migration began: the witness has lost its memory, or the outputs name another prefix. "
            f"Nothing was changed. Restore the witness, or run `cutover status` against the right one."
        )
    return found


async def change_register(parts: Parts, change: Callable[[Grant], Grant | None]) -> Grant:
    """Apply `change` to a fresh read until it goes in; None from it means nothing is to be done.

    `change` raises what it refuses. It decides on what was read, and the
    compare-and-set makes sure that just this was replaced.
    """
    for _ in range(ATTEMPTS):
        seen = await read_register(parts)
        new = change(seen.grant)
        if new is None:
            return seen.grant
        stamped = replace(new, revision=seen.grant.revision + 1, nonce=parts.nonce())
        try:
            return (await parts.register.compare_and_set(seen, stamped)).grant
        except Superseded:
            continue
    raise Superseded(f"the register (after {ATTEMPTS} attempts)")


def renewed(grant: Grant, site: str, seconds: float) -> Grant | None:
    """The grant with one more lease for the site that serves; None for any other site."""
    if grant.serving != site:
        return None
    count = grant.lease_count + 1
    return replace(grant, lease_holder=site, lease_seconds=seconds, lease_count=count)
