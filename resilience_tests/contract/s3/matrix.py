"""Print which server can do what: python -m resilience_tests.contract.s3.matrix [--endpoint URL]."""

import argparse
import sys
import tempfile
import traceback
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from resilience_tests.contract.s3.place import Account, connected, fresh_place
from resilience_tests.contract.s3.registry import Check, capabilities
from resilience_tests.contract.s3.servers import account_at, moto_server, own_server

HELD = "pass"


def judge(account: Account, checks: Mapping[str, Check]) -> dict[str, str]:
    """Return for each capability `pass`, or why it failed in one line."""
    with connected(account) as client:
        return {name: judge_one(account, client, check) for name, check in checks.items()}


def judge_one(account: Account, client: object, check: Check) -> str:
    try:
        with fresh_place(account, client) as at:
            check(at)
    except Exception as error:
        line = traceback.extract_tb(error.__traceback__)[-1].line
        return f"{type(error).__name__}: {' '.join(str(error).split()) or line}"[:160]
    return HELD


def render(verdicts: Mapping[str, Mapping[str, str]]) -> str:
    """Return the matrix: one line a capability, one column a server, then the reasons."""
    names = list(next(iter(verdicts.values())))
    width = max(map(len, names))
    lines = [f"{'capability':{width}}  " + "  ".join(f"{server:>5}" for server in verdicts)]
    for name in names:
        cells = ("pass" if judged[name] == HELD else "FAIL" for judged in verdicts.values())
        lines.append(f"{name:{width}}  " + "  ".join(f"{cell:>5}" for cell in cells))
    for server, judged in verdicts.items():
        lines.append(f"{server}: {sum(verdict == HELD for verdict in judged.values())} of {len(names)} pass")
        lines += [f"  {name}: {verdict}" for name, verdict in judged.items() if verdict != HELD]
    return "\n".join(lines)


def main() -> int:
    """Judge our server and moto, or the one at --endpoint; 0 when ours, or that one, does everything."""
    parser = argparse.ArgumentParser(
        prog="python -m resilience_tests.contract.s3.matrix", description=__doc__
    )
    parser.add_argument(
        "--endpoint", help="judge this server instead; S3_ACCESS_KEY and S3_SECRET_KEY name the account"
    )
    parser.add_argument("--only", default="", help="only capabilities whose name contains this")
    arguments = parser.parse_args()
    checks = {name: check for name, check in capabilities().items() if arguments.only in name}
    with ExitStack() as stack:
        if arguments.endpoint:
            accounts = {"url": account_at(arguments.endpoint)}
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            accounts = {
                "own": stack.enter_context(own_server(Path(folder))).account,
                "moto": stack.enter_context(moto_server()),
            }
        verdicts = {server: judge(account, checks) for server, account in accounts.items()}
    sys.stdout.write(render(verdicts) + "\n")
    return 0 if set(next(iter(verdicts.values())).values()) == {HELD} else 10


if __name__ == "__main__":
    sys.exit(main())
