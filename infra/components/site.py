"""A site: one class for both, so that they cannot drift apart in code."""

from dataclasses import dataclass

import pulumi

from infra.components.place import PlaceArgs, Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteArgs(PlaceArgs):
    """What a site is made from."""

    role: str  #: at the start of the migration: source or target
    region: str


class Site(Standing):
    """One complete deployment; the other site can be gone without this one noticing."""

    def __init__(self, name: str, args: SiteArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("cutover:infra:Site", name, args, {"role": args.role, "region": args.region}, opts)
