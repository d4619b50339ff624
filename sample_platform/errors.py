"""Everything the sample platform raises.

PlatformError
├── Refused              it was not done, and never will be by this request
│   ├── BadInput         the request itself is wrong
│   ├── NotFound         no such post, session or object
│   ├── NotAuthor        only the author may do this
│   ├── RequestReused    this request id already names something else
│   ├── OtherBytes       the store holds different bytes under the key
│   ├── NotServing       the site's database does not accept writes now
│   └── Unavailable      a part could not be reached in time; the same request may be sent again
└── Unknown              it may have happened: ask again with the same request id

A client that has once seen `Unknown` for a request may only settle on a success: a later
`Refused` says nothing about the attempt before it.
"""

from typing import ClassVar


class PlatformError(Exception):
    """Base of all; `site` and `epoch` say who answered, as far as the answer told."""

    reason: ClassVar[str] = "error"

    def __init__(self, message: str, *, site: str | None = None, epoch: int | None = None) -> None:
        super().__init__(message)
        self.site = site
        self.epoch = epoch


class Refused(PlatformError):
    """Definitely not done."""

    reason = "refused"


class BadInput(Refused):
    """The request can never be done as it is."""

    reason = "bad_input"


class NotFound(Refused):
    """What the request names is not there."""

    reason = "not_found"


class NotAuthor(Refused):
    """Somebody else's post."""

    reason = "not_author"


class RequestReused(Refused):
    """The request id was used before, for something else."""

    reason = "request_reused"


class OtherBytes(Refused):
    """A content-addressed key holds bytes with another digest: the store is damaged."""

    reason = "other_bytes"


class NotServing(Refused):
    """The database refused the write (SQLSTATE 25006): another site serves, or none does."""

    reason = "not_serving"


class Unavailable(Refused):
    """A database or store gave no answer, and nothing was committed."""

    reason = "unavailable"


class Unknown(PlatformError):
    """No answer settles whether it happened, or what the value is."""

    reason = "unknown"


REFUSALS: dict[str, type[Refused]] = {
    kind.reason: kind
    for kind in (
        Refused,
        BadInput,
        NotFound,
        NotAuthor,
        RequestReused,
        OtherBytes,
        NotServing,
        Unavailable,
    )
}
"""Refusals by the reason that stands in an HTTP answer."""
