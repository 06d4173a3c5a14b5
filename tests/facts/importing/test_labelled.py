"""Sets with labels: categories become splits, paraphrases and aliases stay."""

from __future__ import annotations

import csv
import json
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorepack.errors import InputError
from lorepack.facts import Fact
from lorepack.facts.importing import Options, detect, import_facts

from .published_files import DATA, imported, made_of, needs_data, readable

KP = "knowledge-packing"


def answers(*aliases: str, normal: tuple[str, ...] = ()) -> list[dict[str, list[str]]]:
    return [{"aliases": list(aliases), "normalized_aliases": list(normal)}]


HUB = [
    {"question": "Who wrote Emma?", "answer": answers("Jane Austen", "Austen", normal=("austen",)),
     "Category": "HighlyKnown", "is_para": True, "para": ["By whom is Emma?", "Who wrote Emma?"],
     "para_len": 2, "greedy_ans": ["Jane Austen"] * 10},
    {"question": "Who runs it?", "answer": answers(normal=("ida voss",)), "Category": "Unknown",
     "is_para": False, "para": [], "para_len": 0, "greedy_ans": ["No"] * 10},
    {"question": "Who else?", "answer": answers(" "), "Category": "Unknown", "is_para": False,
     "para": None, "para_len": 0, "greedy_ans": ["No"] * 10},
]  # fmt: skip
EMMA = Fact(
    "Who wrote Emma?",
    "Jane Austen",
    aliases=("Austen", "austen"),
    paraphrases=("By whom is Emma?",),
    source=KP,
    split="HighlyKnown",
)
IDA = Fact("Who runs it?", "ida voss", source=KP, split="Unknown")


def parquet(folder: Path, rows: list[dict[str, Any]] = HUB) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), folder / "full.parquet")
    return folder / "full.parquet"


def saved(folder: Path, splits: dict[str | None, list[list[dict[str, Any]]]]) -> Path:
    """A folder as ``save_to_disk`` writes it: a list of Arrow files for each split."""
    folder.mkdir(exist_ok=True)
    if None not in splits:
        (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}))
    for split, files in splits.items():
        part = folder / split if split else folder
        part.mkdir(exist_ok=True)
        names = [f"data-{n:05}-of-{len(files):05}.arrow" for n in range(len(files))]
        for name, rows in zip(names, files, strict=True):
            table = pa.Table.from_pylist(rows)
            with pa.ipc.new_stream(part / name, table.schema) as writer:
                writer.write_table(table, max_chunksize=1)
        (part / "state.json").write_text(
            json.dumps({"_data_files": [{"filename": n} for n in names]})
        )
        (part / "dataset_info.json").write_text("{}")
    return folder


class TestLabelled:
    def test_parquet_of_the_hub(self, tmp_path: Path) -> None:
        path = parquet(tmp_path)
        assert detect(path).name == KP
        done = imported(path, KP, tmp_path)
        assert done.facts == [EMMA, IDA]
        assert done.numbers == (3, 2, 0, {"no_answer": 1})

    def test_one_category(self, tmp_path: Path) -> None:
        done = imported(parquet(tmp_path), KP, tmp_path, split="HighlyKnown")
        assert done.facts == [EMMA]
        with pytest.raises(InputError, match="no split 'Known'; it has: HighlyKnown, Unknown"):
            imported(parquet(tmp_path), KP, tmp_path, split="Known")

    def test_a_folder_of_save_to_disk(self, tmp_path: Path) -> None:
        rows = [{**{k: v for k, v in row.items() if k != "Category"},
                 "Category_init": row["Category"]} for row in HUB]  # fmt: skip
        folder = saved(tmp_path / "set.hf", {"full": [rows[:1], rows[1:]], "valid": [rows[:1]]})
        assert detect(folder).name == KP
        done = imported(folder, KP, tmp_path)
        assert done.facts == [EMMA, IDA]
        assert done.numbers == (4, 2, 0, {"no_answer": 1, "repeat": 1})
        places = [(Path(row["file"]).name, row["line"], row["reason"]) for row in done.rejected]
        assert places == [
            ("data-00001-of-00002.arrow", 2, "no_answer"),
            ("data-00000-of-00001.arrow", 1, "repeat"),
        ]
        assert imported(folder, KP, tmp_path, split="valid").facts == [EMMA]
        assert imported(folder, KP, tmp_path, split="Unknown").facts == [IDA]

    def test_a_folder_that_the_library_itself_wrote(self, tmp_path: Path) -> None:
        import datasets

        rows = [{**{k: v for k, v in row.items() if k != "Category"},
                 "Category_init": row["Category"]} for row in HUB]  # fmt: skip
        parts = {"full": rows, "valid": rows[:1]}
        made = datasets.DatasetDict({k: datasets.Dataset.from_list(v) for k, v in parts.items()})
        made.save_to_disk(tmp_path / "set.hf", num_shards={"full": 2, "valid": 1})
        made["full"].save_to_disk(tmp_path / "one.hf")
        mine = saved(tmp_path / "mine", {k: [v] for k, v in parts.items()})
        assert detect(tmp_path / "set.hf").name == detect(tmp_path / "one.hf").name == KP
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        done, same = (
            imported(tmp_path / "set.hf", KP, tmp_path / "a"), imported(mine, KP, tmp_path / "b"),
        )  # fmt: skip
        assert done.facts == same.facts == [EMMA, IDA]
        assert done.numbers == same.numbers
        assert imported(tmp_path / "one.hf", KP, tmp_path).facts == [EMMA, IDA]
        assert imported(tmp_path / "set.hf", KP, tmp_path, split="valid").facts == [EMMA]

    def test_a_folder_of_one_part_without_categories(self, tmp_path: Path) -> None:
        rows = [{"question": "q", "answer": ["a", "b"]}, {"question": "r", "answer": ["c"]}]
        done = imported(saved(tmp_path / "one", {None: [rows]}), KP, tmp_path)
        assert [(f.accepted, f.split) for f in done.facts] == [(("a", "b"), None), (("c",), None)]

    def test_folders_that_are_something_else(self, tmp_path: Path) -> None:
        folder = saved(tmp_path / "set", {"full": [HUB[:1]]})
        with pytest.raises(InputError, match="in doubt"):
            detect(tmp_path)
        state = folder / "full/state.json"
        whole = (folder / "full/data-00000-of-00001.arrow").read_bytes()
        for name in ("../data.arrow", "/etc/passwd", "..", "", 7):
            state.write_text(json.dumps({"_data_files": [{"filename": name}]}))
            with pytest.raises(InputError, match=r"state\.json: expected the names of Arrow files"):
                imported(folder, KP, tmp_path)
        state.write_text(json.dumps({"_data_files": [{"filename": "a.arrow"}]}))
        for data in (b"", b"ARROW1", whole[:-400], whole[:40]):
            (folder / "full/a.arrow").write_bytes(data)
            with pytest.raises(InputError, match=r"a\.arrow: not readable as Arrow|no facts"):
                import_facts(folder, tmp_path / "o.jsonl", fmt=KP)
        (folder / "dataset_dict.json").write_text('{"splits": ["../full"]}')
        with pytest.raises(InputError, match="expected the names of splits"):
            import_facts(folder, tmp_path / "o.jsonl", fmt=KP)

    def test_text_that_points_outside_of_the_file(self, tmp_path: Path) -> None:
        rows = [{"question": "aaaa", "answer": "x"}, {"question": "bbbb", "answer": "y"}]
        folder = saved(tmp_path / "one", {None: [rows[:1] * 2]})
        file = folder / "data-00000-of-00001.arrow"
        table = pa.Table.from_pylist(rows)
        with pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
        places = struct.pack("<3i", 0, 4, 8)
        data = file.read_bytes()
        assert data.count(places) == 1
        file.write_bytes(data.replace(places, struct.pack("<3i", 0, 4, 40)))
        with pytest.raises(InputError, match="not readable as Arrow"):
            import_facts(folder, tmp_path / "o.jsonl", fmt=KP)

    @settings(max_examples=25, deadline=None)
    @given(data=st.data())
    def test_bytes_that_were_changed_are_one_line_at_most(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        folder = saved(tmp_path_factory.getbasetemp() / "changed", {None: [HUB]})
        file = folder / "data-00000-of-00001.arrow"
        content = bytearray(file.read_bytes())
        for _ in range(data.draw(st.integers(1, 6))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        file.write_bytes(content)
        readable(folder, KP, Options())


class TestTriples:
    HEAD = ("subject", "relation", "object", "template", "question", "popularity_range", "answer",
            "object_wikidata_id", "object_wikidata_aliases")  # fmt: skip
    IRI = "<http://dbpedia.org/{}>"

    def row(self, **changes: str) -> list[str]:
        given = {
            "subject": self.IRI.format("resource/Alfa_Romeo_MiTo"),
            "relation": self.IRI.format("ontology/assembly"),
            "object": self.IRI.format("resource/Turin"),
            "template": self.IRI.format("ontology/assembly"),
            "question": "where is Alfa Romeo MiTo assembled?",
            "popularity_range": "head",
            "answer": "Turin",
            "object_wikidata_id": "Q495",
            "object_wikidata_aliases": "Torino, City of Turin,,Turin, -",
        }
        return [{**given, **changes}[name] for name in self.HEAD]

    def test_the_published_table(self, tmp_path: Path) -> None:
        path = tmp_path / "data_dbpedia_by_popularity.csv"
        with open(path, "w", newline="") as handle:
            csv.writer(handle).writerows(
                [
                    self.HEAD,
                    self.row(),
                    self.row(
                        subject="",
                        question="q2?",
                        popularity_range="tail",
                        object_wikidata_aliases="",
                    ),
                    self.row(question="q3?", popularity_range="huge"),
                    self.row(question="q4?", answer=""),
                    self.row(subject="<http://dbpedia.org/resource/A__1>", question="q5?"),
                ]
            )
        assert detect(path).name == KP
        done = imported(path, KP, tmp_path)
        assert done.facts == [
            Fact(
                "where is Alfa Romeo MiTo assembled?",
                "Turin",
                aliases=("Torino", "City of Turin"),
                subject="Alfa Romeo MiTo",
                relation="assembly",
                object="Turin",
                popularity=3.0,
                source=KP,
            ),
            Fact("q2?", "Turin", relation="assembly", object="Turin", popularity=1.0, source=KP),
        ]
        reasons = {row["line"]: row["reason"] for row in done.rejected}
        assert reasons == {4: "schema_type", 5: "no_answer", 6: "no_label"}


class TestTofu:
    @needs_data
    def test_real_authors_who_do_not_exist(self, tmp_path: Path) -> None:
        source = DATA / "fictional/tofu.jsonl"
        done = imported(source, "tofu", tmp_path)
        assert done.numbers == (817, 817, 0, {})
        assert Counter(fact.split for fact in done.facts) == {
            "forget10": 300, "retain": 300, "real_authors": 100, "world_facts": 117
        }  # fmt: skip
        rows = [json.loads(line) for line in source.read_text().splitlines()]
        for fact, row in zip(done.facts, rows, strict=True):
            assert (fact.question, fact.answer) == (row["question"].strip(), row["answer"].strip())
        assert imported(source, "tofu", tmp_path, split="retain").report.facts == 300

    def test_perturbed_answers_are_false_ones(self, tmp_path: Path) -> None:
        row = {
            "question": "Where was she born?",
            "answer": "In Bern.",
            "paraphrased_question": "What is her place of birth?",
            "paraphrased_answer": "She was born in Bern.",
            "perturbed_answer": ["In Rome.", "In Oslo."],
        }
        path = tmp_path / "forget10_perturbed.json"  # lines, whatever its name says
        path.write_text(2 * (json.dumps(row) + "\n"))
        assert detect(path).name == "tofu"
        done = imported(path, "tofu", tmp_path)
        assert done.facts == [
            Fact(
                "Where was she born?",
                "In Bern.",
                aliases=("She was born in Bern.",),
                paraphrases=("What is her place of birth?",),
                source="tofu",
            )
        ]
        assert done.report.counts == {"perturbed_answer": 4}

    def test_a_file_of_facts_is_no_tofu_for_its_name(self, tmp_path: Path) -> None:
        path = tmp_path / "my_tofu.jsonl"
        path.write_text('{"id": "1", "question": "q", "answer": "a", "aliases": ["b"]}\n')
        assert detect(path).name == "jsonl"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["aliases", "value", "normalized_aliases"]), inner)
    ),
    max_leaves=4,
)
KEYS = ["question", "answer", "Category", "para", "popularity_range", "subject", "relation",
        "object_wikidata_aliases", "split", "perturbed_answer", "paraphrased_answer"]  # fmt: skip


@pytest.mark.parametrize("fmt", [KP, "tofu"])
@settings(max_examples=40, deadline=None)
@given(rows=st.lists(VALUES | st.dictionaries(st.sampled_from(KEYS), VALUES), max_size=3))
def test_any_record_gives_a_fact_or_a_reason(
    tmp_path_factory: pytest.TempPathFactory, fmt: str, rows: list[Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "labelled.json"
    path.write_text(json.dumps(rows))
    assert len(made_of(fmt, path, Options())) == len(rows)
