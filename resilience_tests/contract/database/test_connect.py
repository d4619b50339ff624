"""What a connection's end means to the caller."""

from dataclasses import replace

import pytest

from cutover.adapters.postgres.connect import Connections, connect
from cutover.errors import BadInput, Inconclusive, SiteUnreachable
from cutover.model.secret import Secret
from resilience_tests.contract.database.server import Database


async def test_a_wrong_password_is_bad_input_and_is_not_shown(database: Database) -> None:
    address = replace(database.address("cutover_admin"), password=Secret("sesame"))
    with pytest.raises(BadInput, match="cutover_admin") as caught:
        await connect(address, site="east")
    assert "sesame" not in str(caught.value) + repr(address)


async def test_a_port_where_nobody_listens_is_an_unreachable_site(database: Database) -> None:
    address = replace(database.address("cutover_admin"), port=1)
    with pytest.raises(SiteUnreachable, match="east"):
        await connect(address, site="east")


@pytest.mark.parametrize(("effect", "kind"), [(True, Inconclusive), (False, SiteUnreachable)])
async def test_an_answer_that_does_not_come_is_unknown_for_effects_only(
    database: Database, *, effect: bool, kind: type[Exception]
) -> None:
    connections = Connections(database.address("cutover_admin"), site="east")
    with pytest.raises(kind):
        async with connections.use(effect=effect, seconds=0.05) as connection:
            await connection.execute("select pg_sleep(60)")


async def test_a_connection_that_ended_while_idle_is_replaced_unseen(database: Database) -> None:
    connections = Connections(database.address("cutover_admin"), site="east")
    async with connections.use(effect=True) as connection:
        first = connection.info.backend_pid
    await database.run(f"select pg_terminate_backend({first}, 5000)", role="postgres")
    async with connections.use(effect=True) as connection:
        assert connection.info.backend_pid != first
    await connections.close()
