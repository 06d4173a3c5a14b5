"""Data sets of the hub are streamed by `datasets`; without it, or the network, one line says so."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lorepack.errors import InputError
from lorepack.facts import Fact
from lorepack.facts.importing import Options, import_facts, named

from .published_files import imported

ROWS = [{"query": "Who?", "gold": ["Ann", "A."]}, {"query": "Where?", "gold": []}]
COLUMNS = {"question": "query", "answer": "gold"}


class Fake:
    """The part of `datasets` that is used: two splits, or what goes wrong."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.error: Exception | None = None

    def load_dataset(
        self, name: str, config: str | None, *, split: str | None, streaming: bool
    ) -> Any:
        self.asked.append((name, config, split))
        assert streaming, "a data set of any size must fit"
        if self.error:
            raise self.error
        splits = {"train": iter(ROWS), "test": iter([{"query": "When?", "gold": "1998"}])}
        return splits[split] if split else splits


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    library = Fake()
    monkeypatch.setitem(sys.modules, "datasets", library)  # type: ignore[arg-type]
    return library


def run(source: str, folder: Path, **options: Any) -> Any:
    return import_facts(source, folder / "o.jsonl", fmt="hub", options=Options(**options))


def test_all_splits_of_a_configuration(tmp_path: Path, fake: Fake) -> None:
    done = imported(Path("owner/name:small"), "hub", tmp_path, columns=COLUMNS)
    assert fake.asked[0] == ("owner/name", "small", None)
    assert done.facts == [
        Fact("Who?", "Ann", aliases=("A.",), source="owner/name:small", split="train"),
        Fact("When?", "1998", source="owner/name:small", split="test"),
    ]
    assert done.numbers == (3, 2, 0, {"no_answer": 1})
    assert (done.rejected[0]["file"], done.rejected[0]["line"]) == ("owner/name:small", 2)


def test_one_split(tmp_path: Path, fake: Fake) -> None:
    report = run("owner/name", tmp_path, columns=COLUMNS, split="test")
    assert fake.asked == [("owner/name", None, "test")]
    assert (report.read, report.facts) == (1, 1)


def test_columns_are_suggested(tmp_path: Path, fake: Fake) -> None:
    with pytest.raises(InputError, match=r"owner/name: no column .*--question query --answer gold"):
        run("owner/name", tmp_path)


def test_no_network_is_one_line(tmp_path: Path, fake: Fake) -> None:
    fake.error = ConnectionError("no route\n  to the hub\n" + "x" * 9_000)
    with pytest.raises(
        InputError, match=r"owner/name: .*ConnectionError: no route to the hub"
    ) as told:
        run("owner/name", tmp_path)
    assert len(str(told.value)) < 600


def test_a_connection_that_breaks_keeps_what_came_before(
    tmp_path: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows() -> Iterator[Any]:
        yield ROWS[0]
        raise TimeoutError("read timed out")

    monkeypatch.setattr(fake, "load_dataset", lambda *a, **k: rows())
    report = run("owner/name", tmp_path, columns=COLUMNS, split="train")
    assert (report.read, report.facts) == (1, 1)
    assert "row 2 of split 'train' (TimeoutError: read timed out)" in str(report.broken)


def test_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="pip install datasets"):
        run("owner/name", tmp_path)


def test_an_id_is_no_file() -> None:
    assert not named("hub").fits(Path("owner/name"), b"")


def test_a_local_folder_by_the_library_itself(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="the optional library datasets is not installed")
    folder = tmp_path / "mini"
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    done = imported(folder, "hub", tmp_path, columns=COLUMNS)
    assert done.facts == [Fact("Who?", "Ann", aliases=("A.",), source="mini", split="train")]
    with pytest.raises(InputError, match="Bad split: nope"):
        run(str(folder), tmp_path, columns=COLUMNS, split="nope")
