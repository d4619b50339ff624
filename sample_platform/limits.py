"""What a request may hold.

Everything is checked before anything is stored, so that a refusal names the field and
never comes half-way. PostgreSQL's text holds any character but NUL; a lone surrogate is
no character at all and cannot be stored.
"""

import re
from collections.abc import Iterable

from sample_platform.errors import BadInput
from sample_platform.model import NewPost, Revision

NAME_CHARACTERS_MAX = 300
"""Longest user, account or sound name (characters)."""

TEXT_BYTES_MAX = 65_536
"""Longest title, caption or comment (bytes of UTF-8): metadata travels in one HTTP header."""

TAGS_MAX = 100
"""Most tags that one post may carry."""

CENTS_MAX = 2**53
"""Largest amount of one ledger entry: exact in every JSON reader, and sums stay in a bigint."""

PAGE_MAX = 1_000
"""Most items that one answer may list."""

_REQUEST = re.compile(r"[A-Za-z0-9._:@/+=-]{1,200}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


def check_request(request: str) -> str:
    """Return a usable request id; raises BadInput."""
    if not _REQUEST.fullmatch(request):
        raise BadInput(
            f"request id {request[:200]!r} is not 1 to 200 characters out of A-Z a-z 0-9 . _ : @ / + = -"
        )
    return request


def check_text(field: str, text: object, *, bytes_max: int = TEXT_BYTES_MAX) -> str:
    """Return a text that the database can hold; raises BadInput."""
    if not isinstance(text, str):
        raise BadInput(f"{field} is {type(text).__name__}, but must be a string")
    if "\0" in text:
        raise BadInput(
            f"{field} holds a NUL character (at {text.index(chr(0))}), which no text column can hold"
        )
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise BadInput(
            f"{field} holds half a surrogate pair (at {error.start}): it is not Unicode text"
        ) from None
    if size > bytes_max:
        raise BadInput(f"{field} takes {size} bytes, but at most {bytes_max} are kept")
    return text


def check_name(field: str, name: object) -> str:
    """Return the name of a user, account or sound; raises BadInput."""
    text = check_text(field, name)
    if not 1 <= len(text) <= NAME_CHARACTERS_MAX:
        raise BadInput(f"{field} has {len(text)} characters, but must have 1 to {NAME_CHARACTERS_MAX}")
    return text


def check_tags(tags: object) -> tuple[str, ...]:
    """Return tags in the order given; raises BadInput."""
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise BadInput(f"tags is {type(tags).__name__}, but must be a list of strings")
    kept = tuple(check_text("a tag", tag) for tag in tags)
    if len(kept) > TAGS_MAX:
        raise BadInput(f"{len(kept)} tags, but a post carries at most {TAGS_MAX}")
    return kept


def check_new_post(new: NewPost) -> NewPost:
    """Return a post whose every field can be kept; raises BadInput."""
    check_name("author", new.author)
    check_text("title", new.title)
    check_text("caption", new.caption)
    check_tags(new.tags)
    check_text("audio", new.audio)
    return new


def check_revision(revision: Revision) -> Revision:
    """Return an edit whose every field can be kept; raises BadInput."""
    check_text("title", revision.title)
    check_text("caption", revision.caption)
    check_tags(revision.tags)
    return revision


def check_cents(cents: object) -> int:
    """Return an amount of money; raises BadInput. Corrections are negative."""
    if isinstance(cents, bool) or not isinstance(cents, int):
        raise BadInput(f"cents is {type(cents).__name__}, but must be a whole number")
    if abs(cents) > CENTS_MAX:
        raise BadInput(f"cents is {cents}, but an entry holds at most {CENTS_MAX} either way")
    return cents


def check_digest(digest: str) -> str:
    """Return a sha256 in lower-case hex; raises BadInput."""
    if not _DIGEST.fullmatch(digest):
        raise BadInput(f"sha256 {digest[:80]!r} is not 64 lower-case hex digits")
    return digest


def check_page(limit: object) -> int:
    """Return how many items to list; raises BadInput."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= PAGE_MAX:
        raise BadInput(f"limit is {limit!r}, but must be 1 to {PAGE_MAX}")
    return limit
