"""Triples become questions by templates; what cannot is set aside with its reason."""

from __future__ import annotations

import bz2
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorepack.errors import InputError, NotFoundError
from lorepack.facts import Fact
from lorepack.facts.importing import Options, import_facts, named

from .published_files import imported, readable

EX = "http://example.org"


def nt(*terms: str) -> str:
    return (
        " ".join(f"<{EX}/{term}>" if not term.startswith('"') else term for term in terms) + " .\n"
    )


def written(folder: Path, text: str | bytes, name: str = "a.nt") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def templates(folder: Path, **wordings: list[str]) -> Path:
    rows = [{"relation": name, "wordings": many} for name, many in wordings.items()]
    return written(folder, "".join(json.dumps(row) + "\n" for row in rows), "templates.jsonl")


def reasons(rejected: list[dict[str, Any]]) -> dict[int, str]:
    return {row["line"]: row["reason"] for row in rejected}


class TestNTriples:
    def test_labels_literals_and_escapes(self, tmp_path: Path) -> None:
        asked = templates(tmp_path, author=["Who wrote {s}?", "By whom is {s}?"])
        text = (
            "# a comment\n\n@prefix ex: <http://example.org/> .\nPREFIX ex: <http://example.org/>\n"
            + nt("Caf%C3%A9_Noir", "o#author", "%C3%89mile_Zola")
            + nt("AC/DC", "o/author", '"Ann \\"A\\" \\u004Eile"@en-GB')
            + nt("Emma", "o/author", '"1815"^^<http://www.w3.org/2001/XMLSchema#gYear>')
            + f"<{EX}/resource/AC/DC><{EX}/o/author><{EX}/Bo_Lund>.# tight\n"
            + "ex:Otto ex:author ex:Ida_Voss .\nex:Nine ex:author 9.5 .\n"
            + f'<{EX}/Graph> <{EX}/author> "Cy" <{EX}/g1> .\n'
        )
        done = imported(written(tmp_path, text), "ntriples", tmp_path, templates=asked)
        assert done.report.rejected == {}
        assert done.report.read == 7
        pairs = [(fact.subject, fact.answer) for fact in done.facts]
        assert pairs == [
            ("Café Noir", "Émile Zola"), ("DC", 'Ann "A" Nile'), ("Emma", "1815"),
            ("AC/DC", "Bo Lund"), ("Otto", "Ida Voss"), ("Nine", "9.5"), ("Graph", "Cy"),
        ]  # fmt: skip
        assert done.facts[0] == Fact(
            "Who wrote Café Noir?",
            "Émile Zola",
            paraphrases=("By whom is Café Noir?",),
            subject="Café Noir",
            relation="author",
            object="Émile Zola",
        )

    def test_the_shipped_templates(self, tmp_path: Path) -> None:
        text = nt("Ada", "birthPlace", "Bern") + nt("Ada", "shoeSize", '"39"')
        done = imported(written(tmp_path, text), "ntriples", tmp_path)
        assert [fact.question for fact in done.facts] == ["Where was Ada born?"]
        assert len(done.facts[0].paraphrases) >= 2
        assert reasons(done.rejected) == {2: "no_template"}

    def test_broken_lines(self, tmp_path: Path) -> None:
        good = nt("Ada", "birthPlace", "Bern").encode()
        lines = [
            good, b"nonsense\n", b"<a> <b> <c>\n", b'"Ada" <b> <c> .\n', b"<a> <b> .\n",
            b'<a> <b> "open .\n', b"<a> <b> <c> <d> <e> .\n", b"<\xff> <b> <c> .\n",
            b'<a> <birthPlace> "\\uD800" .\n', b"<a%FF> <birthPlace> <c> .\n",
            b"_:b0 <birthPlace> <c> .\n", b"<Ada__1> <birthPlace> <c> .\n",
            b"<http://a.org/> <birthPlace> <c> .\n", b"<Germany> <nationality> <German> .\n",
            b"<Birth> <birthPlace> <In> .\n", b"<Ada> <author> <_> .\n",
            b'<a> <birthPlace> "\\U00110000" .\n',
        ]  # fmt: skip
        done = imported(written(tmp_path, b"".join(lines)), "ntriples", tmp_path)
        assert len(done.facts) == 2
        assert reasons(done.rejected) == {
            **dict.fromkeys(range(2, 8), "schema_triple"), 8: "schema_encoding",
            9: "schema_encoding", 10: "schema_encoding", 11: "no_label", 12: "no_label",
            13: "no_label", 14: "answer_in_question", 16: "no_label", 17: "schema_encoding",
        }  # fmt: skip

    def test_a_compressed_dump(self, tmp_path: Path) -> None:
        text = nt("Ada", "birthPlace", "Bern") * 3
        path = written(tmp_path, bz2.compress(text.encode()), "dump.ttl.bz2")
        done = imported(path, "ntriples", tmp_path)
        assert done.numbers == (3, 1, 0, {"repeat": 2})


class TestGroups:
    def test_neighbours_with_one_subject_and_relation(self, tmp_path: Path) -> None:
        text = "".join(
            nt(*terms)
            for terms in (
                ("A", "author", "X"), ("A", "author", "Y"), ("A", "author", "Z"),
                ("B", "author", "X"),
                ("C", "author", "X"), ("C", "author", "X"), ("C", "genre", "X"),
                ("D", "author", "X"), ("D", "author", "X"), ("D", "author", "Y"),
                ("A", "author", "X"),
            )
        )  # fmt: skip
        done = imported(written(tmp_path, text), "ntriples", tmp_path)
        kept = [(fact.subject, fact.relation) for fact in done.facts]
        # The last one has no neighbour: groups are of neighbours, so that a dump can be streamed.
        assert kept == [("B", "author"), ("C", "author"), ("C", "genre"), ("A", "author")]
        assert reasons(done.rejected) == {
            **dict.fromkeys((1, 2, 3, 8, 10), "several_objects"), 6: "repeat", 9: "repeat"
        }  # fmt: skip
        assert "author of" in done.rejected[0]["message"]

    def test_a_broken_line_does_not_part_neighbours(self, tmp_path: Path) -> None:
        text = nt("A", "author", "X") + "oops\n" + nt("A", "author", "Y")
        path = written(tmp_path, text)
        with pytest.raises(InputError, match=r"'schema_triple': 1, 'several_objects': 2"):
            import_facts(path, tmp_path / "o.jsonl", fmt="ntriples")

    def test_the_last_triple_before_a_break_is_kept(self, tmp_path: Path) -> None:
        text = "".join(nt(f"S{n}", "author", f"X{n}") for n in range(5_000))
        path = written(tmp_path, bz2.compress(text.encode(), 1)[:-1_000], "a.nt.bz2")
        report = import_facts(path, tmp_path / "o.jsonl", fmt="ntriples")
        assert report.broken
        whole = int(report.broken.split(":")[1])  # the line that could not be read
        assert report.facts == report.read == whole - 1


class TestTables:
    def test_with_and_without_a_header(self, tmp_path: Path) -> None:
        plain = (
            "Ada\tbirth place\tBern\n\nEmma\tauthor\n<http://x.org/Bo_L>\tbirthPlace\thttp://x/Y\n"
        )
        named = "note\tObject\tPREDICATE\tsubject\nx\tBern\tbirthPlace\tAda\nx\t\tauthor\tEmma\n"
        done = imported(written(tmp_path, "\ufeff" + plain, "a.tsv"), "triples", tmp_path)
        assert [(f.subject, f.relation, f.object) for f in done.facts] == [
            ("Ada", "birth place", "Bern"),
            ("Bo L", "birthPlace", "Y"),
        ]
        assert done.facts[0].question == "Where was Ada born?"
        assert reasons(done.rejected) == {3: "schema_cells"}
        done = imported(written(tmp_path, named, "b.tsv"), "triples", tmp_path)
        assert [(f.subject, f.object) for f in done.facts] == [("Ada", "Bern")]
        assert reasons(done.rejected) == {3: "schema_missing"}

    def test_text_that_is_not_utf_8(self, tmp_path: Path) -> None:
        path = written(tmp_path, b"Ad\xe4\tbirthPlace\tBern\nAda\tbirthPlace\tBern\n", "a.tsv")
        done = imported(path, "triples", tmp_path)
        assert reasons(done.rejected) == {1: "schema_encoding"}


class TestTemplates:
    @pytest.mark.parametrize(
        "text",
        ['{"relation": "a"}', '{"relation": "a", "wordings": []}', "oops", "[]",
         '{"relation": "a", "wordings": ["no slot"]}', '{"relation": "", "wordings": ["{s}?"]}',
         '{"relation": "a", "wordings": ["{s} and {s}"]}'],
    )  # fmt: skip
    def test_a_broken_template_is_told_before_anything_is_read(
        self, tmp_path: Path, text: str
    ) -> None:
        source = written(tmp_path, nt("Ada", "birthPlace", "Bern"))
        wrong = written(tmp_path, '{"relation": "b", "wordings": ["{s}?"]}\n' + text, "t.jsonl")
        with pytest.raises(InputError, match=r"t\.jsonl:2: "):
            import_facts(
                source, tmp_path / "o.jsonl", fmt="ntriples", options=Options(templates=wrong)
            )

    def test_no_file(self, tmp_path: Path) -> None:
        source = written(tmp_path, nt("Ada", "birthPlace", "Bern"))
        with pytest.raises(NotFoundError, match="no such file of templates"):
            named("ntriples").rows(source, Options(templates=tmp_path / "none.jsonl"))

    def test_a_template_that_changes_is_read_again(self, tmp_path: Path) -> None:
        source = written(tmp_path, "Ada\tborn\tBern\n", "a.tsv")
        asked = []
        for number, wording in enumerate(["Where? {s}", "Whence {s}?"]):
            file = templates(tmp_path, born=[wording])
            os.utime(file, ns=(number, number))
            asked += imported(source, "triples", tmp_path, templates=file).facts
        assert [fact.question for fact in asked] == ["Where? Ada", "Whence Ada?"]

    def test_a_spelling_that_two_relations_share_is_nobodys(self, tmp_path: Path) -> None:
        file = templates(tmp_path, birthPlace=["Born? {s}"], birth_place=["Where {s}?"])
        source = written(
            tmp_path, "A\tbirthPlace\tX\nB\tbirth_place\tX\nC\tbirth place\tX\n", "a.tsv"
        )
        done = imported(source, "triples", tmp_path, templates=file)
        assert [fact.question for fact in done.facts] == ["Born? A", "Where B?"]
        assert reasons(done.rejected) == {3: "no_template"}


TERMS = st.sampled_from(
    ["<a>", "<http://x/birthPlace>", '"text"@en', "_:b", "a:b", "a", "3.5", "#", '"\\u00', ".", " ",
     "\t", "\n", "<", '"', "birthPlace", "\ufeff", "Ada", "%FF", "subject\trelation\tobject\n"]
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("triples")


@pytest.mark.parametrize("fmt", ["triples", "ntriples"])
@settings(max_examples=40, deadline=None)
@given(
    text=st.lists(TERMS | st.text(max_size=3), max_size=40).map("".join), cut=st.binary(max_size=3)
)
def test_any_text_is_counted_line_by_line(folder: Path, fmt: str, text: str, cut: bytes) -> None:
    path = written(folder, text.encode() + cut, "fuzz")
    rows = readable(path, fmt, Options())  # None where the first bytes are those of UTF-16
    assert all(len(items) == 1 for items in rows or [])
    assert rows is not None or not text
