"""PDFs are read in a process of their own, so that none can hold up or fill the one that asks."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from lorepack.facts.documents import apart, read_document
from lorepack.facts.documents.apart import read_pdf_apart
from lorepack.facts.documents.pdf import read_pdf
from lorepack.facts.rows import RowError

from ..importing.published_files import imported
from .made_files import encrypted, endless_pdf, pdf

GOOD = pdf([["The café is old."], ["It is closed."]], title="A Café")


def test_it_gives_what_the_reader_itself_gives() -> None:
    assert read_pdf_apart(GOOD) == read_pdf(GOOD)
    assert read_pdf_apart(GOOD).pages


def test_faults_keep_their_kind() -> None:
    for data, kind in ((b"no pdf", "unreadable_pdf"), (encrypted(GOOD, "word"), "encrypted")):
        with pytest.raises(RowError) as told:
            read_pdf_apart(data)
        assert told.value.kind == kind


def test_one_process_reads_many(monkeypatch: pytest.MonkeyPatch) -> None:
    read_pdf_apart(GOOD)
    monkeypatch.setattr(subprocess, "Popen", None)
    assert read_pdf_apart(GOOD) == read_pdf_apart(GOOD)


def test_a_pdf_without_end_is_stopped_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_pdf_apart(GOOD)
    monkeypatch.setattr(apart, "SECONDS", 4.0)
    for name, data in (("a.pdf", GOOD), ("b.pdf", endless_pdf()), ("c.pdf", pdf([["Last."]]))):
        (tmp_path / name).write_bytes(data)
    start = time.monotonic()
    done = imported(tmp_path, "docs", tmp_path / "out")
    assert time.monotonic() - start < 30
    assert done.report.rejected == {"too_slow": 1}
    assert done.rejected[0]["file"].endswith("b.pdf")
    assert [one.document for one in done.passages] == ["a.pdf", "c.pdf"]


def test_a_process_that_breaks_down_costs_one_file() -> None:
    read_pdf_apart(GOOD)
    assert apart._child
    apart._child._process.kill()
    child = apart._child
    assert child.ask(GOOD, 60)["fault"][0] == "unreadable_pdf"
    assert read_pdf_apart(GOOD) == read_pdf(GOOD)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux")
def test_its_memory_is_bounded() -> None:
    code = (
        "from lorepack.facts.documents import apart; apart._bound_memory();"
        "apart.read_pdf = lambda data: bytearray(3 << 30); print(apart._answer(b''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "too_large" in done.stdout


def test_files_beside_it_are_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('run')")
    (tmp_path / "a.pdf").write_bytes(GOOD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(apart, "_child", None)
    assert read_document(tmp_path / "a.pdf") == read_pdf(GOOD)
