"""Edits become facts: the new answer, what must stay, and, when asked for, what was before."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorepack.errors import InputError, NotFoundError
from lorepack.facts import Fact
from lorepack.facts.importing import Options, import_facts

from .published_files import DATA, imported, made_of, needs_data, readable

RELEASE = DATA / "lora-as-knowledge-memory"
ROME = DATA / "edits/counterfact.json"
ZSRE = DATA / "edits/zsre.json"
SENTENCES = {"1K": 106, "2K": 215, "4K": 434, "8K": 869}

NESTED = {
    "case_id": 0,
    "requested_rewrite": {
        "prompt": "The mother tongue of {} is",
        "relation_id": "P103",
        "target_new": {"str": "English", "id": "Q1860"},
        "target_true": {"str": "French", "id": "Q150"},
        "subject": "Ida Voss",
    },
    "paraphrase_prompts": ["It rained. Ida Voss, a native", "Ida Voss spoke the language"],
    "neighborhood_prompts": ["The mother tongue of Bo Lund is", "Al Kay speaks"],
    "attribute_prompts": ["The mother tongue of Cy Hart is"],
    "generation_prompts": ["Ida Voss grew up in", "Ida Voss's language"],
}


@needs_data
class TestRealCounterFact:
    def test_rome(self, tmp_path: Path) -> None:
        done = imported(ROME, "counterfact", tmp_path)
        assert done.numbers == (1_919, 3_758, 0, {"repeat": 80})
        assert done.report.counts == {"before": 1_919}
        assert Counter(fact.split for fact in done.facts) == {"edit": 1_919, "locality": 1_839}
        assert done.facts[:2] == [
            Fact(
                "BBC One, by",
                "Sega",
                paraphrases=("BBC One is my favorite product out of everything owned by",),
                subject="BBC One",
                object="Sega",
                source="counterfact",
                split="edit",
            ),
            Fact("BBC Radio, by", "BBC", source="counterfact", split="locality"),
        ]
        assert sum(len(fact.paraphrases) for fact in done.facts) == 1_918  # one repeats the prompt

    @pytest.mark.parametrize(
        ("split", "facts", "repeats"),
        [("edit", 1_919, 0), ("locality", 1_839, 80), ("before", 1_919, 0)],
    )
    def test_one_split(self, tmp_path: Path, split: str, facts: int, repeats: int) -> None:
        done = imported(ROME, "counterfact", tmp_path, split=split)
        assert (done.report.facts, done.report.rejected.get("repeat", 0)) == (facts, repeats)
        assert set(done.report.counts) == {"edit", "locality", "before"} - {split}
        assert {fact.split for fact in done.facts} == {split}

    def test_before_is_what_was_true(self, tmp_path: Path) -> None:
        facts = imported(ROME, "counterfact", tmp_path, split="before").facts
        records = json.loads(ROME.read_text())
        assert [(f.question, f.answer) for f in facts] == [
            (row["prompt"], row["ground_truth"]) for row in records
        ]

    @pytest.mark.parametrize("size", SENTENCES)
    def test_sentences(self, tmp_path: Path, size: str) -> None:
        source = RELEASE / f"counterfact_edit_{size}.csv"
        done = imported(source, "counterfact", tmp_path)
        assert done.numbers == (SENTENCES[size], SENTENCES[size], 0, {})
        with open(source, newline="") as handle:
            sentences = [row["text"] for row in csv.DictReader(handle)]
        assert [f"{fact.question} {fact.answer}" for fact in done.facts] == sentences
        meta = json.loads(source.with_name(f"counterfact_edit_{size}_meta.json").read_text())
        assert [fact.subject for fact in done.facts] == meta["subjects"]
        assert all(fact.object == fact.answer and fact.split == "edit" for fact in done.facts)

    def test_sentences_are_cut_where_other_files_say(self, tmp_path: Path) -> None:
        """Two independent files hold some of the same edits with prompt and answer apart."""
        known = {
            row["question"]: row["answer"]
            for row in json.loads((RELEASE / "counterfact_eval_qa.json").read_text())
        }
        known |= {row["prompt"]: row["target_new"] for row in json.loads(ROME.read_text())}
        joined = {f"{prompt} {answer}": prompt for prompt, answer in known.items()}
        facts = imported(RELEASE / "counterfact_edit_8K.csv", "counterfact", tmp_path).facts
        common = [f for f in facts if f"{f.question} {f.answer}" in joined]
        assert len(common) > 150
        assert all(joined[f"{f.question} {f.answer}"] == f.question for f in common)

    def test_questions_of_the_evaluation(self, tmp_path: Path) -> None:
        done = imported(RELEASE / "counterfact_eval_qa.json", "counterfact", tmp_path)
        assert done.numbers == (121, 121, 0, {})
        assert (done.facts[0].question, done.facts[0].answer) == (
            "Pochepsky District, which is located in", "India",
        )  # fmt: skip


@needs_data
class TestRealZsRE:
    def test_all(self, tmp_path: Path) -> None:
        done = imported(ZSRE, "zsre", tmp_path)
        assert done.numbers == (1_000, 1_994, 0, {"no_answer": 2, "repeat": 4})
        assert done.report.counts == {"before": 1_000}
        assert done.facts[:2] == [
            Fact(
                "What is the product made by UniFirst?",
                "unmanned aircraft",
                paraphrases=("What will be the product of UniFirst?",),
                subject="UniFirst",
                object="unmanned aircraft",
                source="zsre",
                split="edit",
            ),
            Fact(
                "nq question: john goodman's character in the big lebowski",
                "Walter Sobchak",
                source="zsre",
                split="locality",
            ),
        ]
        # A row without a new answer still says what must stay.
        empty = [row["line"] for row in done.rejected if row["reason"] == "no_answer"]
        rows = json.loads(ZSRE.read_text())
        assert [n for n, row in enumerate(rows, 1) if not row["alt"].strip()] == empty
        asked = {fact.question for fact in done.facts}
        assert all(rows[n - 1]["loc"] in asked for n in empty)

    def test_all_answers_before(self, tmp_path: Path) -> None:
        done = imported(ZSRE, "zsre", tmp_path, split="before")
        assert done.numbers == (1_000, 1_000, 0, {})
        for fact, row in zip(done.facts, json.loads(ZSRE.read_text()), strict=True):
            assert list(fact.accepted) == list(dict.fromkeys(row["answers"]))


def test_the_nested_layout_of_rome(tmp_path: Path) -> None:
    path = tmp_path / "rome.json"
    path.write_text(json.dumps([NESTED, {"requested_rewrite": {"prompt": "x"}}, 7]))
    done = imported(path, "counterfact", tmp_path)
    prompt = "The mother tongue of Ida Voss is"
    known = {"relation": "P103", "source": "counterfact"}
    near = {"object": "French", "split": "locality", **known}
    assert done.facts == [
        Fact(prompt, "English", paraphrases=tuple(NESTED["paraphrase_prompts"]), subject="Ida Voss",
             object="English", split="edit", **known),
        Fact("The mother tongue of Bo Lund is", "French", **near),
        Fact("Al Kay speaks", "French", **near),
    ]  # fmt: skip
    assert done.report.counts == {"attribute_prompts": 1, "before": 1, "generation_prompts": 2}
    assert done.report.rejected == {"schema_json": 1, "schema_missing": 1}
    before = imported(path, "counterfact", tmp_path, split="before").facts
    assert [(fact.question, fact.answer) for fact in before] == [(prompt, "French")]


class TestSentences:
    def files(self, folder: Path, text: str, meta: Any) -> Path:
        path = folder / "edits.csv"
        path.write_text("text\n" + text)
        if meta is not None:
            (folder / "edits_meta.json").write_text(json.dumps(meta))
        return path

    def test_subjects_in_place_and_out_of_it(self, tmp_path: Path) -> None:
        subjects = ["Ann", "Ann Lee", "Bob"]
        text = "Ann Lee is from Rome\nBob is from Oslo\nCy is from Bonn\nBob\nx,y\nis from Bob\n"
        done = imported(self.files(tmp_path, text, {"subjects": subjects}), "counterfact", tmp_path)
        # The first sentence stands where "Ann" does; the second's subject stands elsewhere.
        assert [(f.subject, f.question, f.answer) for f in done.facts] == [
            ("Ann", "Ann Lee is from", "Rome"), ("Bob", "Bob is from", "Oslo")
        ]  # fmt: skip
        assert {row["line"]: row["reason"] for row in done.rejected} == {
            4: "no_subject", 5: "no_object", 6: "schema_cells", 7: "no_object",
        }  # fmt: skip

    def test_the_longest_subject_that_stands_in_it(self, tmp_path: Path) -> None:
        meta = {"subjects": ["Zoe", "Lee", "Ann Lee"]}
        done = imported(
            self.files(tmp_path, "Ann Lee is from Rome\n", meta), "counterfact", tmp_path
        )
        assert done.facts[0].subject == "Ann Lee"

    @pytest.mark.parametrize("meta", [None, [], {}, {"subjects": "Ann"}, {"subjects": [1]}])
    def test_without_a_list_of_subjects(self, tmp_path: Path, meta: Any) -> None:
        path = self.files(tmp_path, "Ann is from Rome\n", meta)
        error = NotFoundError if meta is None else InputError
        with pytest.raises(error, match=r"edits_meta\.json"):
            import_facts(path, tmp_path / "o.jsonl", fmt="counterfact")

    def test_locality_is_not_told(self, tmp_path: Path) -> None:
        path = self.files(tmp_path, "Ann is from Rome\n", {"subjects": ["Ann"]})
        with pytest.raises(InputError, match="no facts as counterfact"):
            import_facts(
                path, tmp_path / "o.jsonl", fmt="counterfact", options=Options(split="locality")
            )


@pytest.mark.parametrize("fmt", ["counterfact", "zsre"])
def test_a_split_that_edits_do_not_have(tmp_path: Path, fmt: str) -> None:
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(InputError, match="edits have no split 'edits'; did you mean edit"):
        imported(tmp_path / "a.json", fmt, tmp_path, split="edits")


KEYS = {
    "counterfact": ["prompt", "subject", "target_new", "ground_truth", "rephrase_prompt",
                    "locality_prompt", "requested_rewrite", "neighborhood_prompts", "question",
                    "attribute_prompts", "answer", "sentence"],
    "zsre": ["src", "subject", "pred", "answers", "alt", "rephrase", "loc", "loc_ans"],
}  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["prompt", "subject", "target_new", "str"]), inner)
    ),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("edits")


@pytest.mark.parametrize("fmt", KEYS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_record_gives_facts_or_a_reason(folder: Path, fmt: str, data: st.DataObject) -> None:
    records = data.draw(
        st.lists(VALUES | st.dictionaries(st.sampled_from(KEYS[fmt]), VALUES), max_size=3)
    )
    path = folder / "a.json"
    path.write_text(json.dumps(records))
    assert len(made_of(fmt, path, Options())) == len(records)
    path.write_bytes(data.draw(st.binary(max_size=40)))
    readable(path, fmt, Options())
    shutil.copy(path, folder / "a.csv")
    (folder / "a_meta.json").write_bytes(data.draw(st.binary(max_size=20)))
    readable(folder / "a.csv", "counterfact", Options())
