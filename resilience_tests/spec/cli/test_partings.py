"""A site is left: what the commands say, refuse and do, over two sites in memory."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from cutover.adapters.memory.objects import MemoryBody
from cutover.cli import quarantine
from cutover.cli.stranded import bound, stranding
from cutover.model.change import Insert, Row
from cutover.model.journal import Entry, Kind
from cutover.model.merge import Kept
from cutover.model.objects import ObjectInfo
from cutover.model.observation import FenceState
from cutover.model.register import Unsent
from resilience_tests.spec.cli.shell import Shell, change_grant, intents
from resilience_tests.spec.cli.world import PLAN, World, in_memory

WAITING = PLAN.replace("approve_cutover: false", "approve_cutover: true, approve_merge: true")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = in_memory(tmp_path, monkeypatch)
    world.add_post("east", "first")
    world.write_plan(WAITING)
    return world


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def to_verify(world: World, shell: Shell) -> None:
    """West is eligible, and nothing more is done before somebody approves."""
    assert shell.call("run", str(world.path), "--until", "verify")[0] == 0
    change_grant(world, eligible=("west",))


def lose_east(world: World) -> None:
    """It had fallen behind, and what it acknowledged last is on its disk only."""
    world.add_post("east", "never sent")
    world.down.add("east")
    change_grant(world, behind=("west",), unsent=Unsent(seconds=7.25, transactions=3))


def test_a_site_that_is_alive_or_has_not_earned_it_is_not_left(world: World, shell: Shell) -> None:
    assert shell.call("run", str(world.path), "--until", "catch-up")[0] == 0
    before = len(intents(world))
    assert "is not eligible (eligible: none)" in shell.refused("promote", "west", "--yes")
    assert "is no site of plan" in shell.refused("promote", "north", "--yes")
    assert "serves already" in shell.refused("promote", "east", "--yes")
    to_verify(world, shell)
    assert "has just renewed its lease" in shell.refused("promote", "west", "--yes")
    assert len(intents(world)) == before


def test_promoting_says_what_is_known_and_does_it_only_when_told_to(world: World, shell: Shell) -> None:
    to_verify(world, shell)
    lose_east(world)
    status = shell.call("status")
    assert (status[0], status[1]["details"]["behind"]) == (13, ["west"])
    assert "cutover promote west" in status[1]["next_steps"]
    written = dict(world.witness.entries)
    code, told = shell.call("promote", "west")
    assert (code, told["next_steps"]) == (0, ["cutover promote west --yes"])
    expected = {"eligible": True, "behind": True, "lease_over": True, "may": True}
    assert expected.items() <= told["details"]["promotion"].items()
    assert told["details"]["promotion"]["bound"] == {"seconds": 7.25, "transactions": 3}
    assert world.witness.entries == written
    code, done = shell.call("promote", "west", "--yes")
    assert (code, done["stage"]) == (0, "parted"), done
    assert intents(world)[-1]["site"] == "west"
    grant = world.witness.grant()
    assert grant is not None
    assert grant.parted is not None
    assert (grant.serving, grant.parted.by) == ("west", "operator")


def test_while_a_site_is_away_its_bound_is_known_and_nothing_needs_both_sites(
    world: World, shell: Shell
) -> None:
    to_verify(world, shell)
    lose_east(world)
    assert shell.call("promote", "west", "--yes")[0] == 0
    listed = shell.text("stranded", "list")
    assert "up to 3 transaction(s) of 7.2 s before its last renewal" in listed
    assert "parted" in shell.refused("roll-back")
    assert "parted" in shell.refused("complete", "--yes")
    assert "parted" in shell.refused("approve")
    assert "is not home" in shell.refused("promote", "east")
    assert "is not listed yet" in shell.refused("stranded", "merge")
    code, status = shell.call("status")
    assert code == 13
    parted = status["details"]["parted"]
    assert (parted["left"], parted["bound"]) == ("east", {"seconds": 7.25, "transactions": 3})
    assert {"cutover stranded list", "cutover abandon"} <= set(status["next_steps"])


def test_what_comes_back_is_listed_and_merged_once_somebody_agrees(world: World, shell: Shell) -> None:
    to_verify(world, shell)
    lose_east(world)
    assert shell.call("promote", "west", "--yes")[0] == 0
    world.add_post("west", "written alone")
    world.down.clear()
    assert shell.call("stranded", "merge", "--plan", str(world.path))[0] == 12
    carry_on_to_the_list(world, shell)
    code, listed = shell.call("stranded", "list")
    stranded = listed["details"]["stranding"]["listed"]
    assert (code, stranded["transactions"], stranded["keys"]) == (0, 1, ["public.posts never sent"])
    assert listed["next_steps"][0] == "cutover stranded merge"
    assert shell.call("status")[1]["next_steps"][:2] == ["cutover stranded list", "cutover stranded merge"]
    assert shell.call("stranded", "merge")[0] == 0
    code, ended = shell.call("run", str(world.path))
    assert (code, ended["stage"]) == (0, "soak"), ended
    for site in ("east", "west"):
        assert world.posts(site) == ["first", "never sent", "written alone"]
    over = shell.call("stranded", "list")[1]["details"]["stranding"]
    assert (over["over"], over["merged"]["rows"]) == (True, 1)
    assert "merged already" in shell.refused("stranded", "merge")


def carry_on_to_the_list(world: World, shell: Shell) -> None:
    """A coordinator that is ended once it waits for a word."""
    import asyncio

    from cutover.engine.coordinator import Coordinator
    from resilience_tests.spec.cli.world import outputs_of

    async def work() -> None:
        async with world.opened(world.plan_of(WAITING), outputs_of("east", "west")) as parts:
            waits = asyncio.Event()
            listen = lambda now: waits.set() if "stranded merge" in now.waiting_for else None  # noqa: E731
            running = asyncio.ensure_future(Coordinator(parts, report=listen).run())
            async with asyncio.timeout(20):
                await waits.wait()
            running.cancel()
            await asyncio.wait([running])

    asyncio.run(work())


def test_abandoning_ends_it_at_the_site_that_serves_and_leaves_the_other_as_it_is(
    world: World, shell: Shell
) -> None:
    to_verify(world, shell)
    lose_east(world)
    assert shell.call("promote", "west", "--yes")[0] == 0
    written = dict(world.witness.entries)
    code, told = shell.call("abandon")
    assert (code, told["next_steps"][0], world.witness.entries) == (0, "cutover abandon --yes", written)
    remains = told["details"]["remains"]
    assert (remains["serving"], remains["ends"], remains["other_answers"]) == ("west", "complete", False)
    code, done = shell.call("abandon", "--yes")
    assert (code, done["stage"]) == (0, "complete"), done
    assert world.servers["west"].slot is None
    assert world.servers["east"].fence().state is FenceState.OPEN  # nobody has reached it
    assert not world.servers["east"].accepts_writes()
    assert "has ended" in shell.refused("abandon", "--yes")
    assert shell.call("uninstall", "--yes")[0] == 13
    assert world.servers["west"].fence().state is FenceState.ABSENT
    world.down.clear()
    assert shell.call("uninstall", "--yes")[0] == 0
    assert world.servers["east"].fence().state is FenceState.ABSENT


def test_a_migration_that_both_sites_answer_for_is_abandoned_where_the_source_serves(
    world: World, shell: Shell
) -> None:
    assert shell.call("run", str(world.path), "--until", "catch-up")[0] == 0
    told = shell.text("abandon")
    assert "ends as rolled back: east serves alone" in told
    assert "west answers, so `cutover status` may know a way that loses less" in told
    assert shell.call("abandon", "--yes")[1]["stage"] == "rolled_back"
    assert world.servers["east"].accepts_writes()


KEPT = Kept(
    table="public.posts",
    key=("first",),
    row={"id": "first", "title": "x" * 5_000},
    site="east",
    reason="both sites changed it",
    request="r-7",
)


@pytest.fixture
def nothing_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are set aside are read with SQL of their own."""

    async def set_aside(*_: object) -> list[dict[str, object]]:
        return []

    monkeypatch.setattr(quarantine, "set_aside", set_aside)


@pytest.mark.usefixtures("nothing_aside")
def test_a_version_in_quarantine_is_shown_beside_what_stands_there_and_decided_once(
    world: World, shell: Shell
) -> None:
    to_verify(world, shell)
    world.servers["east"].quarantine |= {4: KEPT, 5: KEPT}
    world.servers["east"].lease_until = float("inf")  # nobody renews it here
    assert shell.call("status")[1]["details"]["quarantine"] == 2
    code, listed = shell.call("quarantine", "list")
    first = listed["details"]["kept"][0]
    assert (code, first["number"], first["written_at"], first["request"]) == (0, 4, "east", "r-7")
    assert first["holds"] == {"id": "first", "title": "x" * 36 + "... (5000)"}
    assert first["stands"] == {"id": "first"}
    assert "cutover quarantine resolve 4 --leave" in listed["next_steps"]
    assert shell.call("quarantine", "resolve", "4")[0] == 64
    assert shell.call("quarantine", "resolve", "4", "--take", "--leave")[0] == 64
    assert "has the number 6" in shell.refused("quarantine", "resolve", "6", "--leave")
    assert "is not a site" in shell.refused("quarantine", "resolve", "4", "--leave", "--site", "north")
    code, answer = shell.call("quarantine", "resolve", "4", "--take")
    assert (code, answer["details"]["left"]) == (0, 1)
    assert world.servers["east"].tables["public.posts"]["first",] == KEPT.row
    assert shell.call("quarantine", "resolve", "5", "--leave")[0] == 0
    assert world.servers["east"].quarantine == {}
    assert "no version waits" in shell.text("quarantine", "list")


def test_a_version_is_taken_only_where_users_are_served(world: World, shell: Shell) -> None:
    to_verify(world, shell)
    world.servers["west"].quarantine |= {1: KEPT}
    assert "'east' serves, so the fence would refuse it" in shell.refused(
        "quarantine", "resolve", "1", "--take"
    )
    world.servers["east"].quarantine |= {1: KEPT}
    assert "name one with --site" in shell.refused("quarantine", "resolve", "1", "--leave")
    assert shell.call("quarantine", "resolve", "1", "--leave", "--site", "west")[0] == 0
    assert (list(world.servers["east"].quarantine), world.servers["west"].quarantine) == ([1], {})


def put(world: World, site: str, key: str, data: bytes) -> None:
    """An object in a site's store."""
    info = ObjectInfo(size=len(data), etag="e")
    world.stores[site].objects["objects", key] = MemoryBody(info, data)


def test_a_version_is_taken_once_the_bytes_that_it_names_are_where_it_is_to_stand(
    world: World, shell: Shell
) -> None:
    to_verify(world, shell)
    world.write_plan(WAITING.replace("merge: record}", "merge: record, objects: [{key: k, digest: d}]}"))
    digest = sha256(b"bytes").hexdigest()
    row: Row = {"id": "first", "k": "clip", "d": digest}
    east = world.servers["east"]
    east.quarantine |= {1: replace(KEPT, site="west", row=row), 2: replace(KEPT, row=row)}
    east.lease_until = float("inf")  # nobody renews it here
    for number in ("1", "2"):
        told = shell.refused("quarantine", "resolve", number, "--take")
        assert "object 'clip' is not in the store of west" in told
        assert "Put the bytes that it names under that key at 'east'" in told
    put(world, "west", "clip", b"other bytes")
    assert f"its row says {digest}" in shell.refused("quarantine", "resolve", "1", "--take")
    assert east.tables["public.posts"]["first",] == {"id": "first"}
    assert list(east.quarantine) == [1, 2]
    put(world, "west", "clip", b"bytes")
    assert shell.call("quarantine", "resolve", "1", "--take")[0] == 0
    assert world.stores["east"].objects["objects", "clip"].data == b"bytes"
    world.stores["west"].objects.clear()
    assert shell.call("quarantine", "resolve", "2", "--take")[0] == 0
    assert east.tables["public.posts"]["first",] == row


@pytest.mark.parametrize("written", ["{}", "\\x{}"])
def test_a_digest_may_stand_in_capitals_or_as_a_bytea(world: World, shell: Shell, written: str) -> None:
    digest, east = sha256(b"bytes").hexdigest(), world.servers["east"]
    for name, said in (("small", digest), ("large", digest.upper())):
        put(world, "east", name, b"bytes")
        row: Row = {"id": name, "k": name, "d": written.format(said)}
        east.show(east.commit([Insert("public.posts", (name,), row)], request=None))
    world.write_plan(PLAN.replace("merge: record}", "merge: record, objects: [{key: k, digest: d}]}"))
    assert shell.call("run", str(world.path), "--until", "verify")[0] == 0
    assert world.posts("west") == ["first", "large", "small"]
    assert shell.call("verify")[0] == 0
    world.stores["west"].objects.clear()
    east.quarantine |= {1: replace(KEPT, site="west", row={"id": "first", "k": "large", "d": digest.upper()})}
    east.lease_until = float("inf")  # nobody renews it here
    assert shell.call("quarantine", "resolve", "1", "--take")[0] == 0


def test_a_version_whose_key_holds_other_bytes_is_not_taken(world: World, shell: Shell) -> None:
    """No digest column: the bytes of the site that wrote the version are what it owns."""
    to_verify(world, shell)
    world.write_plan(WAITING.replace("merge: record}", "merge: record, objects: [{key: k}]}"))
    east = world.servers["east"]
    east.quarantine[1] = replace(KEPT, site="west", row={"id": "first", "k": "clip"})
    put(world, "east", "clip", b"ours")
    put(world, "west", "clip", b"theirs")
    assert "holds other bytes" in shell.refused("quarantine", "resolve", "1", "--take")
    assert list(east.quarantine) == [1]
    assert shell.call("quarantine", "resolve", "1", "--leave")[0] == 0


@pytest.mark.usefixtures("nothing_aside")
def test_the_quarantine_of_a_site_that_does_not_answer_is_unknown(world: World, shell: Shell) -> None:
    to_verify(world, shell)
    world.servers["east"].quarantine |= {1: KEPT}
    world.down.add("west")
    code, listed = shell.call("quarantine", "list")
    assert (code, len(listed["details"]["kept"])) == (13, 1)
    assert "'west' cannot be reached" in listed["error"]


def test_copying_is_throttled_until_the_migration_has_ended(world: World, shell: Shell) -> None:
    assert shell.call("run", str(world.path), "--until", "backfill")[0] == 0
    assert shell.call("throttle")[0] == 64
    assert shell.call("throttle", "10", "--off")[0] == 64
    assert shell.call("throttle", "0")[0] == 64
    assert shell.call("throttle", "250")[1]["details"] == {"pace": 250}
    assert shell.call("run", str(world.path), "--until", "catch-up")[0] == 0
    told = world.servers["west"].told
    assert told is not None
    assert told.pace == 250
    assert shell.call("throttle", "--off")[0] == 0
    assert [one["pace"] for one in intents(world)] == [250, None]
    assert shell.call("roll-back")[0] == 0
    assert "nothing is copied any more" in shell.refused("throttle", "9")


def test_nothing_of_this_can_be_asked_before_a_migration_has_begun(world: World, shell: Shell) -> None:
    plan = ("--plan", str(world.path))
    for command in (["promote", "west"], ["abandon"], ["throttle", "5"], ["stranded", "merge"]):
        assert shell.call(*command, *plan)[0] == 12, command
    assert world.witness.entries == {}


def test_of_several_partings_the_newest_is_told() -> None:
    """Each has a listing of its own: what was merged after the first says nothing of the second."""
    world = World.__new__(World)
    world.folder = Path("nowhere")

    def entry(n: int, kind: Kind, stage: str, action: str = "", **facts: object) -> Entry:
        named: dict[str, object] = {"action": action, "site": "east"}
        actions = (named,) if action else ()
        return Entry(n=n, term=1, kind=kind, nonce="n", stage=stage, actions=actions, facts=facts)

    journal = [
        entry(1, Kind.MOVE, "parted", epoch=2, serving="west"),
        entry(2, Kind.DONE, "parted", "list-stranded", rows=1),
        entry(3, Kind.DONE, "parted", "merge-stranded", rows=1),
        entry(4, Kind.MOVE, "soak", epoch=2, serving="west"),
        entry(5, Kind.MOVE, "parted", epoch=3, serving="east"),
    ]
    first, second = stranding(world.plan, None, journal[:4]), stranding(world.plan, None, journal)
    assert first is not None
    assert second is not None
    assert (first.left, first.merged, first.over) == ("east", {"rows": 1}, True)
    assert (second.left, second.listed, second.merged) == ("west", None, None)


def test_a_bound_that_is_not_known_says_so() -> None:
    assert "an unknown number of transaction(s) of an unknown time" in bound(
        Unsent(seconds=None, transactions=None)
    )


def test_what_nobody_has_decided_on_is_not_destroyed(world: World, shell: Shell) -> None:
    to_verify(world, shell)
    assert shell.call("roll-back")[0] == 0
    lost = Kept(table="public.posts", key=("1",), row={"id": "1"}, site="west", reason="both changed it")
    world.servers["east"].quarantine[1] = lost
    assert "would be destroyed" in shell.refused("uninstall", "--yes")
    assert world.servers["east"].quarantine
    del world.servers["east"].quarantine[1]
    assert shell.call("uninstall", "--yes")[0] == 0


def test_rows_that_were_set_aside_are_not_forgotten_unasked(world: World, shell: Shell) -> None:
    to_verify(world, shell)
    assert shell.call("roll-back")[0] == 0
    world.servers["west"].aside["public.posts", ("1",)] = "its object is missing"
    assert "had to set aside" in shell.refused("uninstall", "--yes")
    assert world.servers["west"].aside
    assert shell.call("uninstall", "--yes", "--discard-set-aside")[0] == 0
