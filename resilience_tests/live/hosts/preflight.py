"""Everything that must hold of every host before a drill, and again once a fault is healed."""

import asyncio
from collections.abc import Iterable, Mapping

from cutover.model.secret import Secret
from resilience_tests.live.hosts import by_engine, inside, postgres
from resilience_tests.live.hosts.of_stack import HostOfStack


def assert_fit(host: HostOfStack, secrets: Mapping[str, Secret]) -> None:
    """Fail, with the first reason, if one host is not what it must be."""
    by_engine.assert_published_nowhere(host)
    by_engine.assert_networks_as_planned(host)
    by_engine.assert_few_rights(host)
    by_engine.assert_mounts_as_planned(host)
    by_engine.assert_secrets_untold(host, secrets)
    inside.assert_serves_as_user(host)
    inside.assert_runs_its_program(host)
    inside.assert_listens(host)
    inside.assert_data_on_a_disk(host)
    inside.assert_files_closed(host)
    if host.planned.kind == "postgres":
        said = postgres.reported(host)
        postgres.assert_durable(host, said)
        postgres.assert_few_roles_of_power(host, said)


async def assert_all_fit(hosts: Iterable[HostOfStack], secrets: Mapping[str, Secret]) -> None:
    """Fail, with a reason for each host that has one, if any is not what it must be."""
    checks = [asyncio.to_thread(assert_fit, host, secrets) for host in hosts]
    failed = [one for one in await asyncio.gather(*checks, return_exceptions=True) if one is not None]
    if other := [one for one in failed if not isinstance(one, AssertionError)]:
        raise other[0]
    assert checks, "there is no host to judge"
    assert not failed, "\n".join(str(one) for one in failed)
