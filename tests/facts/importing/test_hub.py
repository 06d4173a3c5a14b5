"""Data sets of the hub are streamed by `datasets`; without it, or the network, one line says so."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
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


class TestTheLibraryItself:
    """Folders are read by `datasets`, which asks nobody for them."""

    @pytest.fixture(autouse=True)
    def no_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*arguments: object) -> None:
            raise OSError("no network in this test")

        monkeypatch.setattr(socket.socket, "connect", refuse)

    @staticmethod
    def table(path: Path, words: str) -> None:
        """A Parquet file with a question for each letter."""
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {"query": [f"{w}?" for w in words], "gold": [[w, w.upper()] for w in words]}
        pq.write_table(pa.table(columns), path)

    @pytest.fixture
    def shards(self, tmp_path: Path) -> Path:
        folder = tmp_path / "mini"
        self.table(folder / "data/train-00000-of-00002.parquet", "ab")
        self.table(folder / "data/train-00001-of-00002.parquet", "cd")
        self.table(folder / "data/test-00000-of-00001.parquet", "e")
        return folder

    @pytest.fixture
    def configs(self, tmp_path: Path) -> Path:
        folder = tmp_path / "sets"
        self.table(folder / "small/train-0.parquet", "x")
        self.table(folder / "large/train-0.parquet", "yz")
        rows = "".join(
            f"- config_name: {n}\n  data_files:\n  - split: train\n    path: {n}/*.parquet\n"
            for n in ("small", "large")
        )
        (folder / "README.md").write_text(f"---\nconfigs:\n{rows}---\n")
        return folder

    def test_splits_in_shards(self, shards: Path, tmp_path: Path) -> None:
        done = imported(shards, "hub", tmp_path, columns=COLUMNS)
        assert [(f.question, f.split) for f in done.facts] == [
            ("a?", "train"), ("b?", "train"), ("c?", "train"), ("d?", "train"), ("e?", "test"),
        ]  # fmt: skip
        assert done.facts[0] == Fact("a?", "a", aliases=("A",), source="mini", split="train")
        assert run(str(shards), tmp_path, columns=COLUMNS, split="test").facts == 1
        with pytest.raises(InputError, match="Bad split: nope"):
            run(str(shards), tmp_path, columns=COLUMNS, split="nope")

    def test_configurations(self, configs: Path, tmp_path: Path) -> None:
        large = imported(Path(f"{configs}:large"), "hub", tmp_path, columns=COLUMNS)
        assert [(f.question, f.source) for f in large.facts] == [
            ("y?", "sets:large"),
            ("z?", "sets:large"),
        ]
        assert run(f"{configs}:small", tmp_path, columns=COLUMNS).facts == 1
        with pytest.raises(InputError, match=r"Config name is missing.*small.*large"):
            run(str(configs), tmp_path, columns=COLUMNS)
        with pytest.raises(InputError, match=r"'huge' not found.*small.*large"):
            run(f"{configs}:huge", tmp_path, columns=COLUMNS)

    def test_rows_are_read_one_after_the_other(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "lines").mkdir()
        with open(tmp_path / "lines" / "train.jsonl", "w") as handle:
            for n in range(20_000):
                handle.write(json.dumps({"query": f"q{n}", "gold": "x" * 900}) + "\n")
        import datasets

        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        report = import_facts(
            tmp_path / "lines", tmp_path / "o.jsonl", fmt="hub",
            options=Options(columns=COLUMNS, limit=10),
        )  # fmt: skip
        assert report.facts == 10
        kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in kept) < 1_000_000

    def test_what_save_to_disk_wrote(self, tmp_path: Path) -> None:
        import datasets

        one = datasets.Dataset.from_list([{"query": "a?", "gold": ["b"]}])
        one.save_to_disk(tmp_path / "one")
        two = one.add_item({"query": "c?", "gold": ["d"]})  # type: ignore[call-arg]
        datasets.DatasetDict({"train": two, "test": one}).save_to_disk(tmp_path / "both")
        assert run(str(tmp_path / "one"), tmp_path, columns=COLUMNS).facts == 1
        assert run(str(tmp_path / "both"), tmp_path, columns=COLUMNS).read == 3
        assert run(str(tmp_path / "both"), tmp_path, columns=COLUMNS, split="test").read == 1
        for name, there in (("one", "none"), ("both", "train, test")):
            with pytest.raises(InputError, match=f"no split 'nope'; it has: {there}"):
                run(str(tmp_path / name), tmp_path, columns=COLUMNS, split="nope")

    def test_a_file_is_no_data_set(self, shards: Path, tmp_path: Path) -> None:
        file = shards / "data/test-00000-of-00001.parquet"
        with pytest.raises(InputError, match="is a file; say --as parquet"):
            run(str(file), tmp_path, columns=COLUMNS)


def test_offline_an_id_is_one_line_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lorepack", "facts", "import", "hub", "owner/name", "--out",
               str(tmp_path / "o.jsonl")]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "owner/name: the data set cannot be opened" in done.stderr
    assert not (tmp_path / "o.jsonl").exists()
