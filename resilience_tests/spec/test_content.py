"""The user's own files: what is read, and what is refused before anything is done."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drill.cli.application import run as command
from drill.content import ContentRefused, ContentSuite, job, read_content
from drill.content.job import drills, goal_seconds, shell_word
from drill.workload.clients import Amount
from sample_platform.model import NewPost

LATIN = os.fsdecode(b"caf\xe9.bin")
"""A name that is not UTF-8, as Python spells it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "content").mkdir()
    return tmp_path / "content"


def put(folder: Path, **files: bytes) -> None:
    for name, data in files.items():
        (folder / name).write_bytes(data)


def say(folder: Path, *lines: object) -> None:
    """Write `metadata.jsonl`: bytes and text as they are, anything else as JSON."""
    told = [
        one if isinstance(one, bytes) else (one if isinstance(one, str) else json.dumps(one)).encode()
        for one in lines
    ]
    (folder / "metadata.jsonl").write_bytes(b"".join(line + b"\n" for line in told))


def refusal(folder: Path) -> str:
    with pytest.raises(ContentRefused) as caught:
        read_content(folder)
    return str(caught.value)


# -- what is content


def test_files_of_any_name_size_and_depth_are_content(folder: Path) -> None:
    deep = folder / "a" / "b" / ".hidden"
    deep.mkdir(parents=True)
    put(folder, empty=b"", same1=b"xx", same2=b"xx")
    put(deep, **{LATIN: b"1", ".dot": b"2", "line\nbreak": b"3", "metadata.jsonl": b"nested, so content"})
    (folder / "no file in here").mkdir()
    found = read_content(folder)
    assert {file.path: file.size for file in found.files} == {
        "empty": 0,
        "same1": 2,
        "same2": 2,
        f"a/b/.hidden/{LATIN}": 1,
        "a/b/.hidden/.dot": 1,
        "a/b/.hidden/line\nbreak": 1,
        "a/b/.hidden/metadata.jsonl": 18,
    }
    assert found.size == 25


def test_a_file_without_a_line_has_its_name_as_title_and_an_author(folder: Path) -> None:
    (folder / "trip").mkdir()
    put(folder / "trip", **{LATIN: b""})
    (file,) = read_content(folder).files
    assert file.post == NewPost(author="user-0", title="caf\\xe9.bin")


def test_a_line_says_all_of_a_file_or_some_of_it(folder: Path) -> None:
    put(folder, **{"all.mp4": b"", "some.mp4": b"", LATIN: b""})
    all_of_it = {"title": "日常 🎬", "caption": "a\nb", "tags": ["ü", "ü"], "audio": "rain", "author": "Zoë"}
    lines = [{"file": "./all.mp4"} | all_of_it, "", {"file": "some.mp4", "caption": "c"}]
    say(folder, *lines, '{"file": "caf\\udce9.bin", "title": ""}\r')
    posts = {file.path: file.post for file in read_content(folder).files}
    assert posts == {
        "all.mp4": NewPost(author="Zoë", title="日常 🎬", caption="a\nb", tags=("ü", "ü"), audio="rain"),
        "some.mp4": NewPost(author="user-0", title="some.mp4", caption="c"),
        LATIN: NewPost(author="user-0", title=""),
    }


def test_a_byte_order_mark_before_the_first_line_says_nothing(folder: Path) -> None:
    put(folder, a=b"")
    say(folder, b'\xef\xbb\xbf{"file": "a", "title": "t"}')
    assert read_content(folder).files[0].post.title == "t"


def test_the_folder_itself_may_be_named_by_a_link(folder: Path, tmp_path: Path) -> None:
    put(folder, a=b"")
    (tmp_path / "link").symlink_to(folder)
    assert read_content(tmp_path / "link").folder == folder


NAMES = st.binary(min_size=1, max_size=60).filter(
    lambda name: not set(name) & {0, 47} and name not in (b".", b"..", b"metadata.jsonl")
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=1, max_size=5))
def test_whatever_bytes_a_name_has_the_file_is_read_and_its_title_is_text(paths: list[list[bytes]]) -> None:
    with tempfile.TemporaryDirectory() as made:
        written = set()
        for parts in paths:
            path = os.path.join(os.fsencode(made), *parts)
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                Path(os.fsdecode(path)).write_bytes(parts[-1])
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                continue
            written.add(b"/".join(parts))
        found = read_content(Path(made))
        assert {os.fsencode(file.path) for file in found.files} == written
        for file in found.files:
            assert file.post.title.encode()
            assert found.where(file).read_bytes() == os.fsencode(file.path).rpartition(b"/")[2]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(title=st.text(max_size=50), tags=st.lists(st.text(max_size=9), max_size=4), raw=st.booleans())
def test_any_text_arrives_as_it_was_written_unless_no_database_can_hold_it(
    folder: Path, title: str, tags: list[str], *, raw: bool
) -> None:
    put(folder, a=b"")
    say(folder, json.dumps({"file": "a", "title": title, "tags": tags}, ensure_ascii=not raw))
    if any("\0" in text for text in (title, *tags)):
        assert "NUL" in refusal(folder)
        return
    (file,) = read_content(folder).files
    assert (file.post.title, file.post.tags) == (title, tuple(tags))


# -- what is refused, by name


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("nope", "is not JSON (Expecting value at column 1): each line must be one whole object."),
        ('{"file": "a"', "is not JSON ("),
        (b'{"file": "a", "title": "\xe9"}', "is not UTF-8 (byte 0xe9 at column 25), and JSON is."),
        ("[1]", 'holds a list, but must be an object, such as {"file": "a.mp4"}.'),
        ("[" * 100_000, "cannot be read as JSON ("),
        ('{"file": "a", "tags": ' + "9" * 5_000 + "}", "cannot be read as JSON ("),
        ({"title": "t"}, 'has no "file": nobody can tell what it is about. Name the file.'),
        ({"file": None}, 'has null as "file", but it must be a string.'),
        ({"file": ""}, "names '', which is no file."),
        ({"file": "/etc/passwd"}, "names '/etc/passwd', an absolute path, which points outside."),
        ({"file": "../a"}, "names '../a': `..` may lead outside."),
        ({"file": "sub/../a"}, "names 'sub/../a': `..` may lead outside."),
        ({"file": "a\0"}, "names 'a\\x00': no file name holds a NUL character."),
        ({"file": "gone.mp4"}, "names 'gone.mp4', and there is no such file."),
        ({"file": "A"}, "names 'A', and there is no such file."),
        ({"file": "sub"}, "names 'sub', which is a folder."),
        ({"file": "metadata.jsonl"}, "names metadata.jsonl itself, which is no content."),
        ('{"file": "a", "file": "b"}', "has the key 'file' twice: only one can be meant."),
        (
            {"file": "a", "colour": 1},
            "has the key 'colour', which means nothing here; known are file, title,",
        ),
        ({"file": "a", "title": 3}, 'has the number 3 as "title", but it must be a string.'),
        ({"file": "a", "caption": True}, 'has true as "caption", but it must be a string.'),
        ({"file": "a", "author": {}}, 'has an object as "author", but it must be a string.'),
        ({"file": "a", "tags": "x"}, 'has a string as "tags", but it must be a list of strings.'),
        ({"file": "a", "tags": ["x", 1]}, 'has the number 1 among its "tags", but each must be a string.'),
        ({"file": "a", "title": "t\0"}, "cannot stand for 'a': title holds a NUL character (at 1)"),
        (
            {"file": "a", "caption": "\ud800"},
            "cannot stand for 'a': caption holds half a surrogate pair (at 0)",
        ),
        ({"file": "a", "title": "x" * 65_537}, "title takes 65537 bytes, but at most 65536 are kept"),
        ({"file": "a", "author": "x" * 301}, "author has 301 characters, but must have 1 to 300"),
        ({"file": "a", "author": ""}, "author has 0 characters, but must have 1 to 300"),
        ({"file": "a", "tags": ["t"] * 101}, "101 tags, but a post carries at most 100"),
        ({"file": "a", "tags": ["x" * 60_000] * 20}, "bytes on its way to the platform, but at most 1044480"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(folder: Path, line: object, told: str) -> None:
    (folder / "sub").mkdir()
    put(folder, a=b"", b=b"")
    say(folder, {"file": "b"}, "", line)
    message = refusal(folder)
    assert f"the content folder {os.fspath(folder)!r} was refused, and nothing was changed:" in message
    assert "\n  metadata.jsonl line 3 " in message
    assert told in message
    assert len(message.splitlines()) == 2


def test_two_lines_for_one_file_are_refused_however_they_spell_it(folder: Path) -> None:
    put(folder, a=b"")
    say(folder, {"file": "a"}, {"file": ".//a"})
    assert "metadata.jsonl line 2 is the second for 'a', after line 1" in refusal(folder)


def test_every_problem_is_told_at_once_up_to_a_number(folder: Path) -> None:
    put(folder, a=b"")
    (folder / "link").symlink_to("a")
    say(folder, *({"file": f"gone-{n}"} for n in range(25)))
    message = refusal(folder)
    assert "'link' is a symbolic link" in message
    assert "line 19 names 'gone-18'" in message
    assert message.endswith("and 6 more like these")


def test_links_are_refused_by_name_and_never_followed(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    put(outside, secret=b"")
    put(folder, a=b"")
    (folder / "folder link").symlink_to(outside)
    (folder / "file link").symlink_to("a")
    (folder / "dangling").symlink_to("nowhere")
    say(folder, {"file": "folder link/secret"})
    message = refusal(folder)
    assert f"'folder link' is a symbolic link to {os.fspath(outside)!r}: links are not followed" in message
    assert "'file link' is a symbolic link to 'a'" in message
    assert "'dangling' is a symbolic link to 'nowhere'" in message
    assert "line 1 names 'folder link/secret', which cannot be moved: see 'folder link'" in message


def test_metadata_behind_a_link_or_in_a_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    put(folder, a=b"")
    put(tmp_path, elsewhere=b'{"file": "a"}')
    (folder / "metadata.jsonl").symlink_to(tmp_path / "elsewhere")
    assert "'metadata.jsonl' is a symbolic link" in refusal(folder)
    (folder / "metadata.jsonl").unlink()
    (folder / "metadata.jsonl").mkdir()
    assert "metadata.jsonl is a folder, but must be a file" in refusal(folder)


def test_what_is_no_file_is_refused_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder, a=b"")
    os.mkfifo(folder / "pipe")
    monkeypatch.chdir(folder)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        message = refusal(folder)
    assert "'pipe' is a named pipe: only files can be moved. Remove it." in message
    assert "'socket' is a socket: only files can be moved. Remove it." in message


def test_a_file_too_large_for_one_put_is_refused(folder: Path) -> None:
    with (folder / "huge").open("wb") as file:
        file.truncate(5 * 1024**3 + 1)
    assert "'huge' has 5368709121 bytes, but the sample platform takes at most 5368709120" in refusal(folder)


def test_a_folder_without_files_is_refused(folder: Path) -> None:
    (folder / "empty too").mkdir()
    say(folder)
    assert "it holds no file, so there is nothing to move." in refusal(folder)


def test_what_is_no_folder_is_refused(folder: Path) -> None:
    assert "there is no such folder." in refusal(folder / "gone")
    put(folder, a=b"")
    assert "it is not a folder." in refusal(folder / "a")
    (folder / "loop").symlink_to("loop")
    assert "it cannot be listed: Too many levels of symbolic links" in refusal(folder / "loop")


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder of an ordinary user, and we are that user: root may read anything."""
    ours = os.geteuid()
    made = Path(tempfile.mkdtemp())
    if ours == 0:
        os.chown(made, 65534, 65534)
        os.seteuid(65534)
    try:
        yield made
    finally:
        os.seteuid(ours)
        shutil.rmtree(made)


def test_what_cannot_be_read_is_refused_by_name(nobody: Path) -> None:
    (nobody / "closed").mkdir()
    put(nobody, a=b"", b=b"")
    (nobody / "a").chmod(0)
    (nobody / "closed").chmod(0)
    message = refusal(nobody)
    assert "'a' cannot be read: Permission denied." in message
    assert "'closed' cannot be listed: Permission denied." in message
    (nobody / "a").chmod(0o600)
    (nobody / "closed").rmdir()
    say(nobody, {"file": "a"})
    (nobody / "metadata.jsonl").chmod(0)
    assert "'metadata.jsonl' cannot be read: Permission denied." in refusal(nobody)
    nobody.chmod(0)
    assert "it cannot be listed: Permission denied." in refusal(nobody)


# -- the command


@pytest.mark.parametrize("bad", ["empty", "missing", "line"])
def test_the_gate_refuses_bad_content_with_12_and_starts_nothing(
    folder: Path,
    tmp_path: Path,
    bad: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUTOVER_STATE", str(tmp_path / "state"))
    if bad == "line":
        put(folder, a=b"")
        say(folder, "nope")
    named = folder / "gone" if bad == "missing" else folder
    assert command(["gate", "--content", str(named), "--report", str(tmp_path / "report")]) == 12
    told = capsys.readouterr()
    assert "was refused, and nothing was changed:" in told.err
    assert "Traceback" not in told.err
    assert not told.out
    assert not (tmp_path / "report").exists()
    assert not (tmp_path / "state").exists()


def test_a_refusal_that_names_what_is_no_utf_8_can_be_printed(folder: Path) -> None:
    (folder / LATIN).symlink_to(LATIN)
    asked = [sys.executable, "-c", "from drill.cli import main; main()", "gate", "--content", str(folder)]
    ended = subprocess.run(asked, capture_output=True, cwd=folder.parent, check=False)
    assert (ended.returncode, b"Traceback" in ended.stderr) == (12, False), ended.stderr
    assert rb"'caf\udce9.bin' is a symbolic link" in ended.stderr


# -- the job


def suite(folder: Path, *, seed: int = 1, keep_stack: bool = False) -> ContentSuite:
    return ContentSuite.of(
        folder, seed=seed, folder=folder.parent / "report", tell=lambda _: None, keep_stack=keep_stack
    )


def test_the_files_move_once_calmly_and_once_with_the_source_killed_where_the_seed_says() -> None:
    assert drills(7) == drills(7)
    for seed in range(20):
        calm, killed = drills(seed)
        assert (calm.fault, calm.ending, killed.fault, killed.victim, killed.ending) == (
            *(None, "soak"),
            *("kill", "source", "soak"),
        )
    assert {drills(seed)[1].point for seed in range(50)} == set(job.STAGES)


def test_a_migration_has_longer_for_more_bytes_and_more_files(folder: Path) -> None:
    put(folder, a=b"")
    small = read_content(folder)
    (folder / "a").write_bytes(b"")
    with (folder / "b").open("wb") as file:
        file.truncate(1_000_000_000)
    assert goal_seconds(read_content(folder)) > goal_seconds(small) + 200
    assert suite(folder).amount.most > Amount().most


def test_a_full_disk_is_refused_before_anything_is_started(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTOVER_STATE", str(tmp_path / "state"))
    put(folder, a=b"x" * 100)

    def usage(_: Path) -> object:
        return shutil.disk_usage("/")._replace(free=job.ROOM_BYTES)

    monkeypatch.setattr(job, "disk_usage", usage)
    told = f"need {job.ROOM_BYTES + 500} on the disk of .* and {job.ROOM_BYTES} are free"
    with pytest.raises(OSError, match=told):
        job.check_room(read_content(folder))


def test_a_report_is_never_written_among_the_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(folder, a=b"")
    monkeypatch.chdir(folder)
    assert command(["gate", "--content", "."]) == 12
    assert "inside the content folder; nothing was changed." in capsys.readouterr().err
    assert os.listdir(folder) == ["a"]


def test_a_kept_stack_is_never_replaced(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CUTOVER_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(job, "list_stacks", lambda: ["main"])
    put(folder, a=b"")
    assert command(["gate", "--content", str(folder), "--keep-stack", "--report", str(tmp_path / "r")]) == 12
    assert (
        "is up already; nothing was changed. Take it down first: cutover stack down"
        in capsys.readouterr().err
    )


def test_the_command_that_repeats_it_finds_the_folder_whatever_its_name_is(tmp_path: Path) -> None:
    for name in (
        b"plain",
        b'it\'s a "name" $HOME `id`',
        b"caf\xe9",
        b"new\nline\\",
        "日常 é".encode(),
        b"\x01'",
    ):
        path = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))
        word = shell_word(path)
        assert word.encode().decode().isprintable()
        told = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
        assert told.stdout == os.fsencode(path)
