"""Folders of documents: the order, what is left alone, and that nothing outside is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lorepack.errors import NotFoundError
from lorepack.facts.documents import files_in, read_document, reading, suffix_count
from lorepack.facts.rows import RowError


def listed(folder: Path) -> list[tuple[str, str | None]]:
    return [(found.name, found.skipped) for found in files_in(folder)]


def test_files_come_sorted_with_their_folders(tmp_path: Path) -> None:
    for name in ("b/z.txt", "b/a.txt", "a.txt", "c.md", "b.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    names = ["a.txt", "b/a.txt", "b/z.txt", "b.txt", "c.md"]
    assert listed(tmp_path) == [(name, None) for name in names]


def test_what_is_left_alone_is_named(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    (inside / "a.txt").write_text("x")
    (inside / ".git").mkdir()
    (inside / "good.txt").symlink_to("a.txt")
    (inside / "bad.txt").symlink_to(outside / "secret.txt")
    (inside / "folder").symlink_to(outside)
    (inside / "lost.txt").symlink_to("nowhere")
    (inside / "round.txt").symlink_to("round.txt")
    os.mkfifo(inside / "pipe.txt")
    told = dict(listed(inside))
    assert told.pop("round.txt") in ("skipped_link", "skipped_unreadable")
    assert told == {
        ".git": "skipped_hidden",
        "a.txt": None,
        "bad.txt": "skipped_link",
        "folder": "skipped_link",
        "good.txt": None,
        "lost.txt": "skipped_link",
        "pipe.txt": "skipped_special",
    }


def test_a_very_deep_folder(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(600):
        deep /= "d"
        deep.mkdir()
    (deep / "a.txt").write_text("x")
    assert len(listed(tmp_path)) == 1


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        list(files_in(tmp_path / "none"))


def test_reasons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.txt"
    for data, kind in ((b" \n", "no_text"), (b"x" * 11, "too_large"), (None, "unreadable")):
        monkeypatch.setattr(reading, "FILE_LIMIT", 10)
        file.unlink(missing_ok=True)
        if data is not None:
            file.write_bytes(data)
        with pytest.raises(RowError) as caught:
            read_document(file)
        assert caught.value.kind == kind


def test_other_kinds_are_counted_by_suffix() -> None:
    names = ["a.PNG", "a", "a.tar.gz", "a.what ever", f"a.{'x' * 30}"]
    assert [suffix_count(Path(name)) for name in names] == [
        "skipped_suffix.png",
        "skipped_suffix.other",
        "skipped_suffix.gz",
        "skipped_suffix.other",
        "skipped_suffix.other",
    ]
