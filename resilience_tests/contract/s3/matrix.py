"""Judge S3 servers by every promise: python -m resilience_tests.contract.s3.matrix [SERVER...].

A server is `own`, `moto`, `versitygw`, or the URL of one that runs already
(its account in S3_ACCESS_KEY, S3_SECRET_KEY; S3_REGION).
"""

import argparse
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from botocore.exceptions import ClientError

from infra.embedded.errors import NoS3Server
from infra.embedded.state import StateFolder
from infra.s3_engines import resolve
from resilience_tests.contract.s3 import page
from resilience_tests.contract.s3.place import Account, connected, fresh_place
from resilience_tests.contract.s3.registry import Check, capabilities
from resilience_tests.contract.s3.servers import account_at, moto_server, own_server, versitygw_server

USUAL = ("own", "moto")


class Word(StrEnum):
    """What is said of one promise of one server."""

    HELD = "held"
    VIOLATED = "violated"
    NOT_OFFERED = "not offered"  #: it says itself that it cannot do this


@dataclass(frozen=True, slots=True)
class Verdict:
    """A word, and in one line why it is not `held`."""

    word: Word
    why: str = ""

    @property
    def held(self) -> bool:
        """Say whether the promise was kept."""
        return self.word is Word.HELD


Verdicts = Mapping[str, Mapping[str, Verdict]]
"""By server, by promise."""


def judge(account: Account, checks: Mapping[str, Check]) -> dict[str, Verdict]:
    """Return a verdict for each promise."""
    with connected(account) as client:
        return {name: judge_one(account, client, check) for name, check in checks.items()}


def judge_one(account: Account, client: object, check: Check) -> Verdict:
    """Try one promise in a bucket of its own."""
    try:
        with fresh_place(account, client) as at:
            check(at)
    except Exception as error:
        line = traceback.extract_tb(error.__traceback__)[-1].line
        why = f"{type(error).__name__}: {' '.join(str(error).split()) or line}"[:160]
        return Verdict(Word.NOT_OFFERED if _says_it_cannot(error) else Word.VIOLATED, why)
    return Verdict(Word.HELD)


def _says_it_cannot(error: Exception) -> bool:
    if not isinstance(error, ClientError):
        return False
    answer = error.response
    status, code = answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]
    return bool(status == 501 or code == "NotImplemented")


def render(verdicts: Verdicts) -> str:
    """Return the matrix: one line a promise, one column a server, then the reasons."""
    names = list(next(iter(verdicts.values())))
    width, columns = max(map(len, names)), [max(11, len(server)) for server in verdicts]

    def line(name: str, cells: Sequence[str]) -> str:
        return "  ".join(
            [f"{name:{width}}", *(f"{cell:{n}}" for cell, n in zip(cells, columns, strict=True))]
        )

    lines = [line("promise", list(verdicts))]
    lines += [line(name, [judged[name].word for judged in verdicts.values()]) for name in names]
    for server, judged in verdicts.items():
        lines.append(f"{server}: {sum(one.held for one in judged.values())} of {len(names)} held")
        lines += [f"  {name}: {one.word}: {one.why}" for name, one in judged.items() if not one.held]
    return "\n".join(one.rstrip() for one in lines)


def account_of(server: str, stack: ExitStack) -> Account:
    """Start a server for as long as the stack is open, or reach the one at a URL. Raises NoS3Server."""
    if "://" in server:
        return account_at(server)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    match server:
        case "own":
            return stack.enter_context(own_server(folder)).account
        case "moto":
            return stack.enter_context(moto_server())
        case "versitygw":
            program = resolve.find_versitygw(StateFolder.open().cache, _tell)
            return stack.enter_context(versitygw_server(folder, program))
    raise NoS3Server(f"{server!r} is none of own, moto, versitygw, and no URL either")


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")


def main() -> int:
    """Judge the servers; 0 when the first of them keeps every promise, else 10."""
    arguments = _arguments()
    checks = {name: check for name, check in capabilities().items() if arguments.only in name}
    verdicts: dict[str, dict[str, Verdict]] = {}
    for server in arguments.servers or USUAL:
        with ExitStack() as stack:
            try:
                account = account_of(server, stack)
            except (NoS3Server, KeyError) as error:
                _tell(f"{server}: {error}")
                return 12
            verdicts[server] = judge(account, checks)
    sys.stdout.write(render(verdicts) + "\n")
    if arguments.write:
        words = {
            server: {n: str(one.word) for n, one in judged.items()} for server, judged in verdicts.items()
        }
        page.write(words)
    return 0 if all(one.held for one in next(iter(verdicts.values())).values()) else 10


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m resilience_tests.contract.s3.matrix", description=__doc__
    )
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"default: {' '.join(USUAL)}")
    parser.add_argument("--only", default="", help="only promises whose name contains this")
    parser.add_argument("--write", action="store_true", help=f"write the table into {page.PAGE.name}")
    arguments = parser.parse_args()
    if arguments.write and arguments.only:
        parser.error("--write needs every promise: leave --only out")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
