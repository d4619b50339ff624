"""Everything cutover raises.

CutoverError
├── Refused                a guard said no; nothing was changed
│   ├── BadInput           a plan, a file or an argument is wrong
│   ├── NotReady           preflight: a site cannot carry this plan yet
│   ├── StaleTerm          another coordinator has taken over
│   ├── Superseded         somebody else changed the register or the journal first
│   ├── DrainLost          the drain was given up before the epoch was granted
│   ├── ObjectRefused      a store cannot take or give this one object; others are not concerned
│   └── Mismatch           the two sites differ where they must be equal
├── Inconclusive           we cannot know whether it happened: look before retrying
├── Missing                an object that a row names is not in the store
└── SiteUnreachable        a site or the witness did not answer

The class tells the caller what is safe: a Refused may be corrected and sent
again, an Inconclusive must be looked at first, a SiteUnreachable may be retried.
"""

from collections.abc import Sequence


class CutoverError(Exception):
    """Base of all errors of cutover."""


class Refused(CutoverError):
    """A guard said no; nothing was changed."""


class BadInput(Refused):
    """A plan, a file or an argument is wrong."""


class NotReady(Refused):
    """Preflight found that a site cannot carry this plan yet."""

    def __init__(self, problems: Sequence[str]) -> None:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(
            f"{len(problems)} thing(s) must be mended before the migration can start:\n{listed}\n"
            f"Nothing was changed. Mend them, then run `cutover run` again."
        )
        self.problems = tuple(problems)


class StaleTerm(Refused):
    """An action carried an older (term, entry) than the site has seen."""

    def __init__(self, *, site: str, carried: tuple[int, int], seen: tuple[int, int]) -> None:
        super().__init__(
            f"site {site!r} refused an action of term {carried[0]}, entry {carried[1]}: it has seen "
            f"term {seen[0]}, entry {seen[1]}, so another coordinator has taken over. "
            f"Stop this one, then run `cutover status`."
        )
        self.site, self.carried, self.seen = site, carried, seen


class Superseded(Refused):
    """Somebody else changed the register or wrote the journal entry first."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} was changed by somebody else first. Read it again and decide anew.")
        self.what = what


class DrainLost(Refused):
    """The drain was given up before the epoch was granted."""

    def __init__(self, *, leaving: str) -> None:
        super().__init__(
            f"the drain of {leaving!r} was given up (its deadline passed, or an operator rolled back), "
            f"so {leaving!r} serves on. Nothing was lost; the migration will drain again."
        )
        self.leaving = leaving


class ObjectRefused(Refused):
    """A store cannot take or give this one object; others are not concerned."""


class Mismatch(Refused):
    """The two sites differ where they must be equal."""

    def __init__(self, differences: Sequence[str]) -> None:
        shown = "\n".join(f"  - {line}" for line in differences[:20])
        super().__init__(
            f"{len(differences)} row(s) or object(s) differ between the sites:\n{shown}\n"
            f"The migration does not go on while they do. `cutover verify` compares again."
        )
        self.differences = tuple(differences)


class Inconclusive(CutoverError):
    """It may or may not have happened: look before retrying."""


class Missing(CutoverError):
    """An object that a row names is not in the store."""

    def __init__(self, *, site: str, key: str) -> None:
        super().__init__(f"object {key!r} is not in the store of site {site!r}")
        self.site, self.key = site, key


class SiteUnreachable(CutoverError):
    """A site or the witness did not answer."""

    def __init__(self, site: str, why: str) -> None:
        super().__init__(f"{site!r} cannot be reached: {why}. Check it and the link, then run this again.")
        self.site, self.why = site, why
