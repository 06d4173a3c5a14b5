"""Whole files or none, and manifests that can be trusted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack import files
from lorepack.errors import InputError, MismatchError, NotFoundError, WriteError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcé"), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_written_file_is_there_whole_and_nothing_else(tmp_path: Path) -> None:
    files.write_text(tmp_path / "new" / "folder" / "x.txt", "Grüße\n")
    assert (tmp_path / "new/folder/x.txt").read_bytes() == "Grüße\n".encode()
    assert [p.name for p in (tmp_path / "new/folder").iterdir()] == ["x.txt"]


def test_a_failing_block_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    target.write_text("old")

    def break_off() -> None:
        with files.atomic(target) as partial:
            partial.write_text("half of the new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_killed_process_leaves_the_old_file_and_the_next_write_cleans_up(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    target.write_text("old")
    code = (
        "import os, sys; from lorepack import files\n"
        "with files.atomic(sys.argv[1]) as partial:\n"
        "    partial.write_text('half'); os.kill(os.getpid(), 9)"
    )
    assert run(code, target).returncode == -9
    assert target.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    files.write_text(target, "new")
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_one_clear_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "x.bin"
    target.write_bytes(b"old")
    code = (
        "import resource, signal, sys; from lorepack import errors, files\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: files.write_bytes(sys.argv[1], bytes(10_000))\n"
        "except errors.WriteError as error: print(error)"
    )
    done = run(code, target)
    assert done.stdout.startswith(f"cannot write {target}: ")
    assert "too large" in done.stdout.lower()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="cannot write"):
        files.write_text(tmp_path / "file" / "x", "")


def test_a_target_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match="not an ordinary file"):
        files.write_text(tmp_path, "")


def test_devices_and_pipes_are_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(WriteError, match="not an ordinary file"):
        files.write_text(pipe, "x")
    assert pipe.is_fifo()


def test_what_the_lines_raise_is_not_called_a_write_error(tmp_path: Path) -> None:
    def lines() -> Iterator[str]:
        yield "one"
        raise NotFoundError("no such file: facts.jsonl")

    with pytest.raises(NotFoundError, match=r"facts\.jsonl"):
        files.write_lines(tmp_path / "x", lines())
    assert not list(tmp_path.iterdir())


def test_lines_are_counted_and_end_with_a_newline(tmp_path: Path) -> None:
    assert files.write_lines(tmp_path / "x", iter(["é", "b"])) == 2
    assert (tmp_path / "x").read_bytes() == "é\nb\n".encode()
    assert files.write_lines(tmp_path / "x", []) == 0
    assert (tmp_path / "x").read_bytes() == b""


@given(JSON)
def test_json_comes_back_and_key_order_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    files.write_json(path, value)
    assert files.read_json(path) == value
    if isinstance(value, dict):
        turned = dict(reversed(value.items()))
        assert files.to_json(turned) == files.to_json(value)
        assert files.hash_of(turned) == files.hash_of(value)


def test_infinity_is_not_written_as_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "x.json", {"loss": float("inf")})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"", b"[" * 100_000])
def test_broken_json_is_an_input_error_with_its_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.json: not valid JSON"):
        files.read_json(path)


def test_json_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no such file: .*x\.json"):
        files.read_json(tmp_path / "x.json")
    with pytest.raises(InputError, match="cannot read"):
        files.read_json(tmp_path)


def test_sha256_of_the_empty_file_is_the_known_one(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    known = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert files.sha256_of(tmp_path / "x") == known


class TestManifest:
    """A folder is complete when its manifest says so and its files are the ones it names."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        files.write_text(tmp_path / "b.txt", "bb")
        files.write_text(tmp_path / "a.txt", "a")
        files.write_manifest(tmp_path, "inputs-1", ["b.txt", "a.txt"])
        return tmp_path

    def test_complete(self, folder: Path) -> None:
        assert files.is_complete(folder, "inputs-1")

    def test_of_other_inputs(self, folder: Path) -> None:
        assert not files.is_complete(folder, "inputs-2")

    def test_a_changed_file_of_the_same_size(self, folder: Path) -> None:
        (folder / "b.txt").write_text("bc")
        assert not files.is_complete(folder, "inputs-1")

    def test_a_longer_file(self, folder: Path) -> None:
        (folder / "b.txt").write_text("bbb")
        assert not files.is_complete(folder, "inputs-1")

    def test_a_missing_file(self, folder: Path) -> None:
        (folder / "a.txt").unlink()
        assert not files.is_complete(folder, "inputs-1")

    @pytest.mark.parametrize(
        "content",
        ["", "{", "[]", "null", '{"inputs": "inputs-1"}', '{"inputs": "inputs-1", "files": []}',
         '{"inputs": "inputs-1", "files": {"a.txt": 3}}'],
    )  # fmt: skip
    def test_a_manifest_that_is_not_one(self, folder: Path, content: str) -> None:
        (folder / files.MANIFEST).write_text(content)
        assert not files.is_complete(folder, "inputs-1")

    def test_no_folder(self, tmp_path: Path) -> None:
        assert not files.is_complete(tmp_path / "none", "inputs-1")

    def test_equal_folders_have_equal_manifests(self, folder: Path) -> None:
        before = (folder / files.MANIFEST).read_bytes()
        files.write_manifest(folder, "inputs-1", ["a.txt", "b.txt"])
        assert (folder / files.MANIFEST).read_bytes() == before
        assert list(json.loads(before)["files"]) == ["a.txt", "b.txt"]


class TestMakingRoom:
    """A finished folder of other inputs is kept; a damaged one of these inputs is not."""

    def test_a_finished_folder_of_other_inputs_is_kept(self, tmp_path: Path) -> None:
        files.write_manifest(tmp_path, "inputs-1", [])
        with pytest.raises(MismatchError, match="holds a finished thing; give another folder"):
            files.make_room(tmp_path, "inputs-2", lambda: "a finished thing")
        assert files.is_complete(tmp_path, "inputs-1")

    def test_unless_asked(self, tmp_path: Path) -> None:
        files.write_manifest(tmp_path, "inputs-1", [])
        files.make_room(tmp_path, "inputs-2", lambda: "", overwrite=True)
        assert not (tmp_path / files.MANIFEST).exists()

    @pytest.mark.parametrize("content", ["", "[]", "{}"])
    def test_a_damaged_manifest_vouches_for_nothing(self, tmp_path: Path, content: str) -> None:
        (tmp_path / files.MANIFEST).write_text(content)
        files.make_room(tmp_path, "inputs-1", lambda: "")
        assert not (tmp_path / files.MANIFEST).exists()


def test_a_lost_timing_is_empty_and_no_error(tmp_path: Path) -> None:
    assert files.timing_of(tmp_path, "probe") == {}
    files.write_json(tmp_path / "timing.json", {"probe": {"seconds": 2.5}})
    assert files.timing_of(tmp_path, "probe") == {"seconds": 2.5}
    assert files.timing_of(tmp_path, "audit") == {}


def test_lines_that_come_one_by_one_are_there_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "new" / "x.jsonl"
    with files.open_lines(target) as handle:
        handle.write("Grüße\n")
        assert not target.exists()
        handle.write("half of a pair: \ud83d\n")
    assert target.read_bytes() == "Grüße\nhalf of a pair: ?\n".encode()

    def break_off() -> None:
        with files.open_lines(target) as handle:
            handle.write("half of the new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert target.read_text().startswith("Grüße")
    assert list(target.parent.iterdir()) == [target]
