"""The published phone books become facts; what is no phone number is set aside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorepack.facts import Fact
from lorepack.facts.importing import Options

from .published_files import DATA, imported, made_of, needs_data, readable

FOLDER = DATA / "lora-as-knowledge-memory"
ROWS = {
    "phonebook_qa_1K.csv": 48,
    "phonebook_qa_2K.csv": 97,
    "phonebook_qa_4K.csv": 193,
    "phonebook_qa_8K.csv": 387,
    "phonebook_qa_128K_sector_00.csv": 387,
    "phonebook_qa_128K_sector_01.csv": 387,
    "phonebook_qa_128K_sector_02.csv": 387,
    "phonebook_qa_128K_sector_03.csv": 387,
    "phonebook_eval_qa_1K.json": 37,
    "phonebook_eval_qa_8K.json": 300,
}


@needs_data
@pytest.mark.parametrize("name", ROWS)
def test_real_phone_books(tmp_path: Path, name: str) -> None:
    done = imported(FOLDER / name, "phonebook", tmp_path)
    assert done.numbers == (ROWS[name], ROWS[name], 0, {})
    assert len({fact.subject for fact in done.facts}) == ROWS[name]
    for fact in done.facts:
        assert fact.question.removesuffix("?") == f"What is the phone number of {fact.subject}"
        assert fact.object == fact.answer


@needs_data
def test_the_first_fact_of_either_layout(tmp_path: Path) -> None:
    number = {"subject": "Jeffrey Buck", "relation": "phone number", "object": "603-556-7631"}
    first = imported(FOLDER / "phonebook_qa_1K.csv", "phonebook", tmp_path).facts[0]
    assert first == Fact(
        "What is the phone number of Jeffrey Buck?", "603-556-7631", source="phonebook", **number
    )
    first = imported(FOLDER / "phonebook_eval_qa_1K.json", "phonebook", tmp_path).facts[0]
    assert first == Fact(
        "What is the phone number of Jeffrey Buck", "603-556-7631", source="phonebook",
        split="eval", **number,
    )  # fmt: skip


def test_rows_that_are_no_entries(tmp_path: Path) -> None:
    path = tmp_path / "book.csv"
    path.write_text(
        "text\nQuestion: What is the phone number of Ann? Answer: 202-555-1234\nhello\n"
        "Question: Who is Ann? Answer: 202-555-1234\n"
        "Question: What is the phone number of Bob? Answer: 555-1234\na,b\n"
        '"Question: What is the phone number of Cy, Dr? Answer: 202-555-1234"\n'
    )
    done = imported(path, "phonebook", tmp_path)
    assert [fact.subject for fact in done.facts] == ["Ann", "Cy, Dr"]
    assert {row["line"]: row["reason"] for row in done.rejected} == {
        3: "schema_labels", 4: "no_name", 5: "no_answer", 6: "schema_cells",
    }  # fmt: skip


TEXTS = ["What is the phone number of X", "202-555-1234", "Question: A Answer: B"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("phonebook")


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.none() | st.text(max_size=5) | st.dictionaries(
            st.sampled_from(["question", "answer", "text"]),
            st.none() | st.integers() | st.sampled_from(TEXTS) | st.text(max_size=5),
        ),
        max_size=4,
    ),
    data=st.binary(max_size=30),
)  # fmt: skip
def test_anything_is_counted_row_by_row(folder: Path, rows: list[object], data: bytes) -> None:
    path = folder / "a.json"
    path.write_text(json.dumps(rows))
    assert all(len(items) == 1 for items in made_of("phonebook", path, Options()))
    path = folder / "a.csv"
    path.write_bytes(b"text\n" + data)
    readable(path, "phonebook", Options())
