"""Whatever is wrong is refused by name, with what it means and what to do, and nothing is changed."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from infra.embedded.stack import EmbeddedStack
from resilience_tests.contract.objects.liar import lying
from resilience_tests.live.commands import Ended, Shop, opened_shop, shop_stack

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedStack]:
    async with shop_stack(tmp_path_factory.mktemp("shop")) as stack:
        yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def untouched(
    stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Shop, list[set[tuple[Any, ...]]]]]:
    """One shop for all that must change nothing, and what its databases hold before."""
    async with opened_shop(stack, tmp_path_factory.mktemp("untouched")) as shop:
        yield shop, [await shop.catalog(site) for site in ("east", "west")]


@pytest_asyncio.fixture(loop_scope="module")
async def new(untouched: tuple[Shop, list[set[tuple[Any, ...]]]]) -> AsyncIterator[Shop]:
    """The shop before its migration has begun; the test must leave it so."""
    shop, before = untouched
    shop.write_plan()
    yield shop
    await shop.end_all()
    assert await shop.witness() == {}
    assert [await shop.catalog(site) for site in ("east", "west")] == before
    assert not list((shop.folder / "state").glob("plans/*.json"))
    for site in ("east", "west"):
        assert not [key for key in await shop.objects(site) if key.startswith(".cutover")]


async def refused(shop: Shop, *said: str, status: int = 12) -> Ended:
    """`run` refuses, with this status and these words."""
    ended = await shop.call("run", str(shop.plan))
    check(ended, *said, status=status)
    return ended


def check(ended: Ended, *said: str, status: int = 12) -> None:
    assert ended.status == status, ended
    assert [words for words in said if words not in ended.error] == [], ended.error
    assert "Traceback" not in ended.progress


async def test_every_mistake_about_the_tables_is_told_at_once(new: Shop) -> None:
    new.edit_plan("Shop.Customers, key: [Id]", "Shop.Clients, key: [Id]")
    new.edit_plan('key: ["No"]', "key: [customer]")
    new.edit_plan("counters: [hits]", "counters: [clicks]")
    new.edit_plan("{key: bucket key}", "{key: object}")
    ended = await refused(
        new,
        "table Shop.Clients is not there, though the plan names it. Create it, or mend the plan.",
        "table Shop.Orders needs a unique index over exactly (customer)",
        "table public.visits has no column 'clicks', which the plan names.",
        "table public.pictures has no column 'object', which the plan names.",
        "table Shop.Orders: the foreign key 'Orders_customer_fkey' leaves the plan (table Shop.Customers)",
        "Nothing was changed.",
    )
    check(await new.call("plan", "check", str(new.plan)), ended.error)


async def test_a_table_without_a_key_and_a_target_with_rows_are_refused(new: Shop) -> None:
    for site in ("east", "west"):
        await new.ask(site, "CREATE TABLE notes (id bigint NOT NULL, body text)")
    await new.ask("west", "INSERT INTO visits VALUES ('here before', 1)")
    new.edit_plan("  - name: pictures", "  - {name: notes, key: [id], merge: record}\n  - name: pictures")
    await refused(
        new,
        "table public.notes needs a unique index over exactly (id), the plan's key, to name rows by;",
        "site 'west': table public.visits has rows already, which would be mixed with the source's. Empty it",
    )
    await new.ask("west", "DELETE FROM visits")
    for site in ("east", "west"):
        await new.ask(site, "DROP TABLE notes")


async def test_a_plan_that_preflight_refused_may_be_mended(new: Shop) -> None:
    """What was refused has not begun: the mended plan is no edit of it."""
    new.edit_plan("Shop.Customers", "Shop.Clients")
    await refused(new, "Shop.Clients")
    new.write_plan()
    assert (await new.call("plan", "check", str(new.plan))).status == 0


@pytest.mark.parametrize("site", ["west", "witness"])
async def test_a_place_that_is_dead_is_status_13(new: Shop, site: str) -> None:
    await new.stack.kill_site(site)
    try:
        await refused(new, f"'{site}' cannot be reached", "Check it and the link", status=13)
    finally:
        await new.stack.restart_site(site)


def other_credentials(shop: Shop, site: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Outputs of our own for the plan, whose credentials of one site are others."""
    at = shop.outputs.sites[site]
    document = json.loads(Path(at.credentials_file).read_text())
    change(document)
    credentials = shop.folder / "credentials.json"
    credentials.write_text(json.dumps(document))
    credentials.chmod(0o600)
    other_outputs(shop, site, credentials_file=str(credentials))


def other_outputs(shop: Shop, site: str, **changes: Any) -> None:
    changed = replace(shop.outputs.sites[site], **changes)
    outputs = replace(shop.outputs, sites={**shop.outputs.sites, site: changed})
    (shop.folder / "outputs.json").write_text(outputs.to_json())
    shop.edit_plan(str(shop.stack.outputs_file()), "outputs.json")


async def test_a_wrong_password_is_named_by_site_and_role_and_never_shown(new: Shop) -> None:
    other_credentials(new, "east", lambda all_: all_["postgres"].update(cutover_admin="wrong-pass-word"))
    await refused(
        new, "site 'east'", "does not let the role 'cutover_admin' in", "Check the credentials file"
    )
    ended = await new.call("run", str(new.plan))
    assert "wrong-pass-word" not in ended.error + ended.progress


async def test_a_password_that_is_missing_is_named_by_its_role(new: Shop) -> None:
    other_credentials(new, "west", lambda all_: all_["postgres"].pop("cutover_applier"))
    await refused(new, "has no password of role 'cutover_applier'. Add it")


async def test_a_wrong_s3_secret_is_named_and_never_shown(new: Shop) -> None:
    other_credentials(new, "west", lambda all_: all_["s3"].update(secret_key="wrong-se-cret"))
    at = new.outputs.sites["west"].s3
    await refused(
        new, at.endpoint, at.bucket, "the secret key or the region does not fit", "Nothing was changed"
    )
    ended = await new.call("run", str(new.plan))
    assert "wrong-se-cret" not in ended.error + ended.progress


async def test_a_bucket_that_is_not_there_is_named(new: Shop) -> None:
    store = replace(new.outputs.sites["west"].s3, bucket="no-such-bucket")
    other_outputs(new, "west", s3=store)
    await refused(new, "'no-such-bucket'", "there is no such bucket")


async def test_a_bucket_of_the_plan_that_is_not_there_is_named(new: Shop) -> None:
    new.edit_plan("{key: bucket key}", "{key: bucket key, bucket: no-such-bucket}")
    await refused(new, "'no-such-bucket'", "there is no such bucket")


async def test_outputs_and_credentials_that_are_wrong_are_refused_by_place(new: Shop) -> None:
    (new.folder / "outputs.json").write_text('{"schema": 1, "name": "x"')
    check(await new.call("run", str(new.plan), "--stack", str(new.folder / "outputs.json")), "not JSON")
    check(await new.call("run", str(new.plan), "--stack", "none.json"), "'none.json' cannot be read")
    other_credentials(new, "east", lambda _: None)
    (new.folder / "credentials.json").chmod(0o644)
    await refused(new, "can be read by others (mode 0644)", "chmod 600")


async def test_a_server_whose_log_says_too_little_is_refused(new: Shop) -> None:
    await new.ask_server("west", "ALTER SYSTEM SET wal_level = 'replica'")
    try:
        await restart_database(new.stack, "west")
        await refused(
            new,
            "site 'west': wal_level is replica, so the log does not say which rows were changed. "
            "Set it to logical and restart the server.",
        )
    finally:
        await new.ask_server("west", "ALTER SYSTEM RESET wal_level")
        await restart_database(new.stack, "west")


async def restart_database(stack: EmbeddedStack, site: str) -> None:
    await stack.kill(f"{site}/postgres")
    await stack.start(f"{site}/postgres")


@pytest.mark.parametrize("place", ["west", "witness"])
async def test_a_store_that_ignores_conditions_is_refused(new: Shop, place: str) -> None:
    async with lying("ignores If-None-Match") as (url, liar):
        if place == "witness":
            witness = replace(new.outputs.witness, s3=replace(new.outputs.witness.s3, endpoint=url))
            (new.folder / "outputs.json").write_text(replace(new.outputs, witness=witness).to_json())
            new.edit_plan(str(new.stack.outputs_file()), "outputs.json")
        else:
            other_outputs(new, place, s3=replace(new.outputs.sites[place].s3, endpoint=url))
        await refused(
            new, f"'{place}' ({url}", "a put with If-None-Match: * is not refused when the object exists"
        )
        assert liar.objects == {}


HOSTILE = {
    "aliases that grow": (
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(12)
        ),
        "line 1: anchors and aliases are not read",
    ),
    "an alias of itself": ("a: &a [*a]\n", "anchors and aliases are not read"),
    "a merge key": ("base: &b {x: 1}\nlease:\n  <<: *b\n", "merge keys (`<<`) are not read"),
    "a tag that calls": ("name: !!python/object/apply:os.system ['true']\n", "line 1"),
    "huge": ("#" * (5 << 20), "more than 4194304 bytes"),
    "binary": (b"\x7fELF\x02\x01\x00\xff\xfe\x00".decode("latin-1"), "plan.yaml"),
    "keys twice": ("schema: 1\nname: a\nname: b\n", "line 3: key 'name' stands here twice"),
    "nested deep": ("a: " + "[" * 100_000, "nested too deep"),
    "a number without end": ("schema: " + "9" * 5000 + "\n", "line 1"),
    "empty": ("", "is empty"),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_a_hostile_plan_is_refused_by_line(new: Shop, what: str) -> None:
    text, said = HOSTILE[what]
    new.plan.write_bytes(text.encode("latin-1"))
    check(await new.call("run", str(new.plan)), said)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def halfway(
    stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Shop, str]]:
    """A migration that follows closely, and its plan."""
    async with opened_shop(stack, tmp_path_factory.mktemp("begun")) as shop:
        await shop.to("catch-up")
        yield shop, shop.plan.read_text()


@pytest_asyncio.fixture(loop_scope="module")
async def begun(halfway: tuple[Shop, str]) -> AsyncIterator[Shop]:
    """The same migration with its plan as it was begun; the test must leave its journal as it found it."""
    shop, plan = halfway
    shop.plan.write_text(plan)
    before = await shop.witness("journal/")
    yield shop
    assert await shop.witness("journal/") == before


async def test_a_plan_edited_halfway_is_refused_by_every_command(begun: Shop) -> None:
    begun.edit_plan("merge: counter", "merge: record")
    words = ["run PLAN", "plan check PLAN", "status", "roll-back"]
    for line in words:
        ended = await begun.call(*line.replace("PLAN", str(begun.plan)).split())
        check(ended, "plan 'shop' was edited", "Nothing was changed. Undo the edit")


@pytest.mark.parametrize(
    ("number", "change", "said"),
    [
        (2, None, "journal entry 2 is missing"),
        (0, None, "journal entry 0 is missing"),
        (1, b'{"schema": 1, "n"', "is not JSON"),
        (0, b'{"kind": "deploy", "by": "somebody else"}', "journal entry 0"),
        (0, b"\x00\xff", "journal entry 0"),
    ],
    ids=["cut in the middle", "begun without a plan", "torn", "foreign", "binary"],
)
async def test_a_journal_that_is_not_whole_or_not_ours_is_refused(
    begun: Shop, number: int, change: bytes | None, said: str
) -> None:
    name = f"journal/{number:012}.json"
    [kept] = (await begun.witness(name)).values()
    await begun.change_witness(name, change)
    try:
        for command in (["run", str(begun.plan)], ["roll-back"]):
            check(await begun.call(*command), said)
    finally:
        await begun.change_witness(name, kept)


async def test_a_journal_that_lost_its_tail_is_refused_before_a_site_is_touched(begun: Shop) -> None:
    """The sites have seen newer entries than the witness shows: it has lost its memory (S11)."""
    entries = await begun.witness("journal/")
    names = [f"journal/{n:012}.json" for n in range(len(entries))]
    for name in names[2:]:
        await begun.change_witness(name, None)
    try:
        check(await begun.call("run", str(begun.plan)), "has 2 entries: the witness has lost its memory")
    finally:
        for name, body in zip(names, entries.values(), strict=True):
            await begun.change_witness(name, body)


async def test_a_register_that_is_gone_or_garbage_is_refused(begun: Shop) -> None:
    agents = [f"{site}/agent" for site in ("east", "west")]
    await asyncio.gather(*(begun.stack.pause(agent) for agent in agents))
    [kept] = (await begun.witness("register.json")).values()
    try:
        for body, said in ((None, "lost its memory"), (b"{}", "register")):
            await begun.change_witness("register.json", body)
            check(await begun.call("run", str(begun.plan)), said)
    finally:
        await begun.change_witness("register.json", kept)
        await asyncio.gather(*(begun.stack.resume(agent) for agent in agents))


async def test_another_plan_at_the_same_witness_is_refused(begun: Shop) -> None:
    begun.edit_plan("name: shop", "name: other")
    check(await begun.call("run", str(begun.plan)), "plan 'other'", "Nothing was changed")
