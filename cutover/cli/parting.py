"""What may not be asked for while one site was left and is not home."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cutover.engine.parts import Parts


async def refuse_while_parted(parts: "Parts", what: str) -> None:
    """Raise Refused while the register tells of a parting; `what` is possible once it is over."""
    from cutover.errors import Refused

    registered = await parts.register.read()
    parted = registered.grant.parted if registered else None
    if parted is None:
        return
    raise Refused(
        f"the sites are parted: {parted.left!r} was left when its peer was promoted under epoch "
        f"{parted.epoch}. Only once it is home, merged and compared, {what}. Nothing was changed. "
        f"`cutover stranded list` says what is there, `cutover status` what it waits for; if {parted.left!r} "
        f"will never be back, `cutover abandon`."
    )
