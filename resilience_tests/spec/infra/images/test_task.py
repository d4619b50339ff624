"""What a container is told, how it is asked for its health, and how its code is compiled ahead."""

import json
import marshal
from pathlib import Path

import pytest

from infra.images.compiled import compiled
from infra.images.health import health_command
from infra.images.task import PostgresTask, ServiceTask, read_task

POSTGRES = {"port": 5432, "hosts": ["198.18.16.0/26"], "passwords_file": "/run/cutover/passwords.json"}


def told(folder: Path, document: object) -> ServiceTask | PostgresTask:
    path = folder / "service.json"
    path.write_text(json.dumps(document))
    return read_task(path)


def test_a_service_is_told_its_entry_and_settings(tmp_path: Path) -> None:
    entry = "cutover.cli.agent:serve"
    task = told(tmp_path, {"entry": entry, "settings": {"site": "east"}})
    assert task == ServiceTask(entry=entry, settings={"site": "east"}, fast=False)


def test_a_server_is_told_no_more_than_it_must(tmp_path: Path) -> None:
    task = told(tmp_path, {"postgres": {**POSTGRES, "settings": None, "version": None}})
    assert isinstance(task, PostgresTask)
    assert (task.settings, task.version, task.hosts) == ({}, None, ("198.18.16.0/26",))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"postgres": {**POSTGRES, "pasword": "x"}}, "nobody reads pasword"),
        ({"entry": "a:b"}, "settings"),
        ({"postgres": {"port": 1}}, "hosts"),
        ([], "AttributeError"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, document: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        told(tmp_path, document)


def test_a_service_that_listens_nowhere_is_asked_for_its_readiness_only() -> None:
    assert health_command("worker", None) == ["CMD", "sh", "-c", "test -s /run/cutover/ready"]
    assert "/dev/tcp/127.0.0.1/9000" in health_command("s3", 9000)[-1]


def test_only_what_changed_is_compiled(tmp_path: Path) -> None:
    sources = {"a.py": b"x = 1\n", "b/c.py": b"y = 1\n", "b/page.html": b"<p>"}
    first = compiled(sources, "/code", tmp_path / "kept")
    before = set((tmp_path / "kept").iterdir())
    second = compiled({**sources, "a.py": b"x = 2\n"}, "/code", tmp_path / "kept")
    assert len(first) == 2
    assert len(before & set((tmp_path / "kept").iterdir())) == 1
    assert [name for name in first if first[name] == second[name]] == [name for name in first if "c." in name]


def test_what_was_compiled_runs_and_says_where_it_lies(tmp_path: Path) -> None:
    ((name, content),) = compiled({"b/c.py": b"y = 1\n"}, "/code", tmp_path / "kept").items()
    code = marshal.loads(content[16:])
    assert name.startswith("b/__pycache__/c.cpython-")
    assert code.co_filename == "/code/b/c.py"


def test_a_file_that_cannot_be_compiled_is_for_its_importer(tmp_path: Path) -> None:
    assert compiled({"a.py": b"x ="}, "/code", tmp_path / "kept") == {}
