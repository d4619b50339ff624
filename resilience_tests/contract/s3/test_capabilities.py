"""Every capability, on every server: ours has all of them, and what another lacks is written down."""

from typing import Any

import pytest

from resilience_tests.contract.s3.known_failures import MOTO, MOTO_SOMETIMES, VERSITYGW
from resilience_tests.contract.s3.matrix import judge_one
from resilience_tests.contract.s3.place import Account, fresh_place
from resilience_tests.contract.s3.registry import Check, capabilities

KNOWN = {"moto": MOTO, "versitygw": VERSITYGW}
SOMETIMES = {"moto": MOTO_SOMETIMES}


@pytest.mark.parametrize("capability", capabilities().items(), ids=lambda item: item[0])
def test_the_server_does_what_is_known_of_it(
    judged: tuple[str, Account, Any], capability: tuple[str, Check]
) -> None:
    server, account, client = judged
    name, check = capability
    reason = KNOWN.get(server, {}).get(name)
    if name in SOMETIMES.get(server, {}):
        verdict = judge_one(account, client, check)
        if not verdict.held:
            pytest.xfail(f"{SOMETIMES[server][name]} ({verdict.why})")
    elif reason is None:
        with fresh_place(account, client) as at:
            check(at)
    else:
        verdict = judge_one(account, client, check)
        assert not verdict.held, (
            f"{server} has learnt {name!r} (was: {reason}); take it out of known_failures.py"
        )


def test_known_failures_name_capabilities() -> None:
    assert MOTO.keys() | MOTO_SOMETIMES.keys() | VERSITYGW.keys() <= capabilities().keys()
    assert not MOTO.keys() & MOTO_SOMETIMES.keys()
