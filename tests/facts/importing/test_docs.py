"""``docs``: documents become passages with their place, and nothing is lost silently."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorepack.errors import InputError
from lorepack.facts.documents import clean, read_document
from lorepack.facts.importing import Options, detect, import_facts
from lorepack.facts.passages_file import read_passages

from ..documents.made_files import docx, encrypted, epub, paragraph, pdf
from .published_files import DATA, imported, needs_data, write_sample

LORA = DATA / "lora-as-knowledge-memory"
STORY = [f"Sentence {n} tells that house {n * 7} has {n + 3} doors." for n in range(60)]


def library(folder: Path) -> Path:
    """A folder with a document of each kind, and with what is none."""
    root = folder / "library"
    (root / "deep").mkdir(parents=True)
    page = "<html><body><p>{}</p></body></html>"
    (root / "a.txt").write_text("The first text tells of a bridge.")
    (root / "b.md").write_text("# Head\n\nThe second text tells of a *river*.")
    (root / "c.html").write_text(page.format("The third text tells of a mill."))
    (root / "d.pdf").write_bytes(pdf([["The fourth text begins."], ["And it ends here."]]))
    (root / "e.docx").write_bytes(docx(paragraph("The fifth text tells of a mayor.")))
    (root / "deep" / "f.epub").write_bytes(epub({"x": page.format("The sixth tells of a tide.")}))
    (root / "g.jsonl").write_text('{"text": "The seventh text is a record."}\n{"no": 1}\n{\n')
    (root / "locked.pdf").write_bytes(encrypted(pdf([["x"]]), "word"))
    (root / "broken.docx").write_bytes(b"PK\x03\x04")
    (root / "empty.txt").write_bytes(b"")
    (root / "picture.png").write_bytes(b"\x89PNG")
    (root / ".hidden.txt").write_text("hidden")
    (root / "list.json").write_text('{"broken": [')
    return root


class TestRealFiles:
    @needs_data
    def test_the_documents_of_narrativeqa(self, tmp_path: Path) -> None:
        path = LORA / "narrativeqa_10-20k.jsonl"
        done = imported(path, "docs", tmp_path)
        assert done.numbers == (1405, 0, 1405, {})
        assert done.report.counts == {"documents": 35}
        assert {passage.language for passage in done.passages} == {"en"}
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        texts = {row["doc_id"]: clean(row["normalized_text"]) for row in rows}
        covered = {name: bytearray(len(text)) for name, text in texts.items()}
        for one in done.passages:
            assert one.document is not None
            assert one.start is not None
            assert one.end is not None
            assert texts[one.document][one.start : one.end] == one.text
            covered[one.document][one.start : one.end] = b"\1" * (one.end - one.start)
        for name, text in texts.items():
            assert all(c.isspace() or k for c, k in zip(text, covered[name], strict=True))

    @needs_data
    def test_the_introductions_of_paperqa(self, tmp_path: Path) -> None:
        done = imported(LORA / "paperQA.json", "docs", tmp_path, columns={"text": "introduction"})
        assert done.numbers == (62, 0, 62, {})
        assert done.report.counts == {"documents": 15}
        assert all(one.title and one.language == "en" for one in done.passages)
        whole = imported(LORA / "paperqa_introductions.jsonl", "docs", tmp_path)
        assert whole.numbers == (57, 0, 57, {})

    @needs_data
    def test_neutral_text(self, tmp_path: Path) -> None:
        path = DATA / "text" / "wikitext-2_valid.txt"
        assert detect(path).name == "docs"
        assert imported(path, "docs", tmp_path).numbers == (1093, 0, 1093, {})


class TestFolders:
    def test_each_kind_is_read_and_the_rest_is_said(self, tmp_path: Path) -> None:
        done = imported(library(tmp_path), "docs", tmp_path)
        assert [one.document for one in done.passages] == [
            "a.txt", "b.md", "c.html", "d.pdf", "deep/f.epub", "e.docx", "g.jsonl#1",
        ]  # fmt: skip
        assert [one.title for one in done.passages] == [
            None, "Head", None, None, "Tides", "The Bridge", None,
        ]  # fmt: skip
        reasons = {"encrypted": 1, "no_text": 1, "schema_json": 1, "schema_missing": 1}
        assert done.report.rejected == {**reasons, "unreadable": 2}
        assert done.report.counts == {
            "documents": 7, "skipped_hidden": 1, "skipped_suffix.png": 1,
        }  # fmt: skip
        assert done.report.read == 7 + 6 + 2
        places = {(Path(row["file"]).name, row["line"]) for row in done.rejected}
        assert places >= {("g.jsonl", 2), ("g.jsonl", 3), ("locked.pdf", 1), ("broken.docx", 1)}

    def test_pages_and_places(self, tmp_path: Path) -> None:
        path = tmp_path / "story.pdf"
        path.write_bytes(pdf([STORY[:30], STORY[30:]]))
        done = imported(path, "docs", tmp_path, size=40, overlap=12)
        text = read_document(path).text
        for one in done.passages:
            assert one.start is not None
            assert text[one.start : one.end] == one.text
        assert [one.page for one in done.passages] == sorted(one.page for one in done.passages)
        assert {one.page for one in done.passages} == {1, 2}
        assert {one.source for one in done.passages} == {"story.pdf"}

    def test_near_duplicates_are_set_aside_and_name_what_is_kept(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        for name, end in (("a", ""), ("b", " The end."), ("c", " Something else.")):
            (tmp_path / "in" / f"{name}.txt").write_text(" ".join(STORY[:30]) + end)
        done = imported(tmp_path / "in", "docs", tmp_path, size=2_000, overlap=0)
        assert done.numbers == (3, 0, 1, {"near_duplicate": 2})
        assert all(done.passages[0].id in row["message"] for row in done.rejected)
        again = imported(tmp_path / "in", "docs", tmp_path, size=2_000, overlap=0, similarity=1.0)
        assert len(again.passages) == 3


class TestOptions:
    def test_a_tokenizer_counts(self, tmp_path: Path) -> None:
        def letters(texts: Sequence[str]) -> list[int]:
            return [len(text) for text in texts]

        path = tmp_path / "a.txt"
        path.write_text(" ".join(STORY))
        done = imported(path, "docs", tmp_path, size=200, overlap=60, tokenizer=letters)
        assert max(len(one.text) for one in done.passages) <= 200
        assert len(done.passages) == 20

    def test_records_tell_what_they_have(self, tmp_path: Path) -> None:
        row = {"body": {"t": "Some text."}, "name": "N", "doc_id": 7, "lang": "de-AT",
               "date": "2020-01-02T10:00"}  # fmt: skip
        path = tmp_path / "a.jsonl"
        path.write_text(json.dumps(row))
        done = imported(path, "docs", tmp_path, columns={"text": "body.t", "title": "name"})
        one = done.passages[0]
        assert (one.text, one.title, one.document) == ("Some text.", "N", "7")
        assert (one.language, one.date) == ("de", "2020-01-02")

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"size": 0}, "size 0: "),
            ({"overlap": 200}, "overlap 200: expected 0 to 128"),
            ({"similarity": 0.1}, "similarity 0.1: "),
            ({"columns": {"txt": "a"}}, "no field 'txt'; did you mean text"),
        ],
    )
    def test_what_cannot_be(self, tmp_path: Path, options: dict[str, Any], told: str) -> None:
        path = tmp_path / "a.txt"
        path.write_text("Text.")
        with pytest.raises(InputError, match=told):
            import_facts(path, tmp_path / "o.jsonl", fmt="docs", options=Options(**options))

    def test_a_kind_that_is_not_read(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        path.write_bytes(b"x")
        with pytest.raises(InputError, match=r"no kind of document .* expected \.docx"):
            import_facts(path, tmp_path / "o.jsonl", fmt="docs")


class TestDetection:
    def test_documents_are_known(self, tmp_path: Path) -> None:
        root = library(tmp_path)
        for name in ("a.txt", "b.md", "c.html", "d.pdf", "e.docx", "deep/f.epub", "g.jsonl"):
            assert detect(root / name).name == "docs"
        (root / "list.json").unlink()
        assert detect(root).name == "docs"

    @pytest.mark.parametrize(
        ("name", "data"),
        [("a.pdf", b"text"), ("a.docx", b"text"), ("a.txt", b"a\0b"), ("a.jsonl", b'{"body": 1}'),
         ("a.txt", b"subject\trelation\tobject\na\tb\tc\n")],
    )  # fmt: skip
    def test_others_are_not(self, tmp_path: Path, name: str, data: bytes) -> None:
        path = tmp_path / name
        path.write_bytes(data)
        try:
            assert detect(path).name != "docs"
        except InputError as error:
            assert "in doubt (none" in str(error)  # noqa: PT017 - another may know it

    def test_a_folder_of_data_is_no_library(self, tmp_path: Path) -> None:
        (tmp_path / "README.md").write_text("# Data")
        (tmp_path / "LICENSE.txt").write_text("Free.")
        with pytest.raises(InputError, match="in doubt"):
            detect(tmp_path)
        (tmp_path / "story.txt").write_text("A story.")
        assert detect(tmp_path).name == "docs"
        write_sample("popqa", tmp_path)
        with pytest.raises(InputError, match="in doubt"):
            detect(tmp_path)


def test_passages_read_back_equal(tmp_path: Path) -> None:
    done = imported(library(tmp_path), "docs", tmp_path)
    assert list(read_passages(tmp_path / "out" / "facts.jsonl")) == done.passages


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x, max_size=3)
)
RECORDS = st.lists(st.dictionaries(st.sampled_from(["text", "id", "title", "date"]), JSON)).map(
    lambda rows: "\n".join(map(json.dumps, rows)).encode()
)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from([".txt", ".md", ".html", ".pdf", ".docx", ".epub", ".jsonl", ".json"]),
       st.binary(max_size=200) | RECORDS)  # fmt: skip
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, suffix: str, data: bytes) -> None:
    folder = tmp_path_factory.getbasetemp() / "any_docs"
    folder.mkdir(exist_ok=True)
    path = folder / f"any{suffix}"
    path.write_bytes(data)
    with contextlib.suppress(InputError):
        detect(path)
    try:
        report = import_facts(path, folder / "out" / "o.jsonl", fmt="docs")
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either is fine, a traceback is not
    else:
        assert report.read == report.passages + sum(report.rejected.values())
    finally:
        path.unlink()


def test_chapters_that_an_e_book_lacks_are_counted(tmp_path: Path) -> None:
    chapters = {"../../../etc/passwd": "<p>x</p>", "ok.xhtml": "<p>The tide turned at noon.</p>"}
    (tmp_path / "book.epub").write_bytes(epub(chapters))
    report = import_facts(tmp_path / "book.epub", tmp_path / "out.jsonl", fmt="docs")
    assert (report.passages, report.counts["missing_chapters"]) == (1, 1)
