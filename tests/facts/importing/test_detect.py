"""Each real file is told by what is in it, and no file is taken for what it may not be."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path

import pytest

from lorepack.errors import InputError, NotFoundError
from lorepack.facts import Fact, write
from lorepack.facts.importing import HOMES, detect, import_facts, named

from .published_files import DATA, needs_data

REAL = {
    "edits/counterfact.json": "counterfact",
    "edits/zsre.json": "zsre",
    "fictional/tofu.jsonl": "tofu",
    "lora-as-knowledge-memory/counterfact_eval_qa.json": "counterfact",
    "lora-as-knowledge-memory/narrativeqa_10-20k.jsonl": "narrativeqa",
    "lora-as-knowledge-memory/paperQA.json": "paperqa",
    "lora-as-knowledge-memory/paperqa_introductions.jsonl": "paperqa",
    "lora-as-knowledge-memory/paperqa_train_qa40.jsonl": "paperqa",
    "open-qa/entity_questions_dev.jsonl": "entityquestions",
    "open-qa/nq_open_dev.jsonl": "nq-open",
    "open-qa/popqa.json": "popqa",
    "open-qa/retrievalqa.jsonl": "retrievalqa",
    "open-qa/xquad_en.json": "squad",
}
for size in (1, 2, 4, 8):
    REAL[f"lora-as-knowledge-memory/counterfact_edit_{size}K.csv"] = "counterfact"
    REAL[f"lora-as-knowledge-memory/phonebook_qa_{size}K.csv"] = "phonebook"
for sector in range(4):
    REAL[f"lora-as-knowledge-memory/phonebook_qa_128K_sector_{sector:02}.csv"] = "phonebook"
for size in (1, 8):
    REAL[f"lora-as-knowledge-memory/phonebook_eval_qa_{size}K.json"] = "phonebook"


@needs_data
def test_every_real_file() -> None:
    """Those that hold no facts (models, licences, multiple choice, subjects) fit nothing."""
    files = [path for path in sorted(DATA.rglob("*")) if path.is_file()]
    assert set(REAL) <= {str(path.relative_to(DATA)) for path in files}
    told = {}
    for path in files:
        try:
            told[str(path.relative_to(DATA))] = detect(path).name
        except InputError as error:
            assert "(none that is known here)" in str(error), path  # noqa: PT017
    assert {name: form for name, form in told.items() if form != "docs"} == REAL


@pytest.mark.parametrize(
    "name", ["f.jsonl", "f.csv", "f.tsv", "f.parquet", "f.jsonl.gz", "f.csv.gz"]
)
def test_what_lorepack_writes(tmp_path: Path, name: str) -> None:
    full = Fact("q?", "a", aliases=("b",), subject="s", relation="r", object="a", split="train")
    write(tmp_path / name, [full, Fact("What is the phone number of Ann?", "202-555-1234")])
    assert detect(tmp_path / name).name == {"f.tsv": "csv"}.get(name, name.split(".")[1])


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("a.json", '[{"question": "q", "answer": "a"}]', "json"),
        ("a.json", '{"data": [{"question": "q", "answer": "a", "x": 1}]}', "json"),
        ("a.tsv", "subject\tpredicate\tobject\nA\tb\tC\n", "triples"),
        ("a.nt", '# no row\n<http://x/a> <http://x/b> "c"@en .\n', "ntriples"),
        ("a.ttl", "@prefix x: <http://x/> .\nx:a x:b x:c .\n", "ntriples"),
        (
            "a.ttl",
            "<http://dbpedia.org/resource/A> <http://dbpedia.org/ontology/b> "
            "<http://dbpedia.org/resource/C> .\n",
            "dbpedia",
        ),
    ],
)
def test_small_files(tmp_path: Path, name: str, text: str, form: str) -> None:
    (tmp_path / name).write_text(text)
    assert detect(tmp_path / name).name == form


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '[{"q": "q", "a": "a"}]'),
        ("a.json", '[{"question": "q", "choices": {"A": "x"}, "answer": "A"}]'),
        ("a.json", "[]"),
        ("a.json", "oops"),
        ("a.csv", "prompt,target\nq,a\n"),
        ("a.csv", "text\nAnn is from Rome\n"),  # no subjects beside it
        ("a.tsv", "Ann\tfrom\tRome\n"),  # may be anything
        ("a.ttl", "a b c"),
        ("a.parquet", "PAR1"),
    ],
)
def test_what_is_in_doubt_stays_in_doubt(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=r"format in doubt .*say it with --as FORMAT"):
        detect(tmp_path / name)


CUT = bz2.compress(b'{"question": "q", "answer": "a"}\n' * 900)[:-20]


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.jsonl", b"", "the file is empty"),
        ("a.jsonl.gz", gzip.compress(b""), "the file is empty"),
        ("a.jsonl.gz", b"no gzip", "the compressed data is broken"),
        ("a.jsonl.bz2", CUT, "the compressed data is broken"),  # one block, which is not whole
        ("a.jsonl.gz", gzip.compress(bytes(1 << 20)), "nothing but zeros"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, name: str, data: bytes, why: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=why) as caught:
        detect(tmp_path / name)
    assert "--as" not in str(caught.value)


def test_a_compressed_file_is_looked_into(tmp_path: Path) -> None:
    row = json.dumps({"split": "retain90", "question": "q", "answer": "a"})
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(row.encode()))
    assert detect(tmp_path / "a.jsonl.gz").name == "tofu"


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        detect(tmp_path / "nothing")
    with pytest.raises(InputError, match="no format 'popqs'; did you mean popqa"):
        named("popqs")


def test_a_folder_of_several_formats_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "question,answer\nWhat is the phone number of Ann?,202-555-1234\n"
    )
    (tmp_path / "b.txt").write_text("A text of two sentences. This is the other.")
    (tmp_path / "c.bin").write_bytes(b"\0")
    listed = r"a folder with a\.csv: \w+, b\.txt: docs\); say it with --as"
    with pytest.raises(InputError, match=listed):
        detect(tmp_path)


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ("popqa", "no facts as popqa .* it looks like --as csv"),
        ("triples", "no facts as triples .* it looks like --as csv"),
        ("dbpedia", "no facts as dbpedia .* it looks like --as csv"),
        ("parquet", "not readable as Parquet .* it looks like --as csv"),
        ("counterfact", "it looks like --as csv"),
        ("docs", "no kind of document that is read here.* it looks like --as csv"),
    ],
)
def test_a_wrong_format_is_answered_with_the_right_one(tmp_path: Path, form: str, why: str) -> None:
    source = tmp_path / "a.csv"
    source.write_text("question,answer\nWho wrote it?,Ann\n")
    with pytest.raises((InputError, NotFoundError), match=why):
        import_facts(source, tmp_path / "o.jsonl", fmt=form)
    assert not (tmp_path / "o.jsonl").exists()


def test_every_format_says_what_it_is() -> None:
    for name in HOMES:
        form = named(name)
        assert form.name == name
        assert form.about
        assert len(form.about.splitlines()) == 1
        assert form.yields in ("facts", "passages", "both")
        assert not form.fits(Path("nothing"), b"")
