"""Items that others wrote: read, linked to their passages, and never lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lorepack.errors import InputError, NotFoundError
from lorepack.facts.passage import Passage
from lorepack.synthesis.given import Given, by_passage, read_given

TARN = Passage("Mount Tarn rises above Oll. Shepherds built a chapel.", document="3")
WOLF = Passage("Wolves were last seen near the northern glacier.", document="3", start=60)
SHIP = Passage("The ferry Aurora sank in the harbour of Lind.", document="4", id="ship")
PASSAGES = [TARN, WOLF, SHIP]


def read(tmp_path: Path, *rows: Any, **options: Any) -> list[Given]:
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(read_given(path, PASSAGES, **options))


def asked(question: str, answer: str = "A chapel", **more: Any) -> dict[str, Any]:
    return {"question": question, "answer": answer, **more}


@pytest.mark.parametrize(
    ("row", "passage", "by"),
    [
        (asked("What sank?", "Aurora", passage="ship"), SHIP, "passage"),
        (asked("What sank?", "Aurora", document="4"), SHIP, "document"),
        (asked("What sank?", "Aurora", document=4), SHIP, "document"),
        (asked("Where were wolves seen?", "At a glacier", document="3"), WOLF, "document"),
        (asked("In the Paper ID 3, What did shepherds build?"), TARN, "tag"),
        (asked("[Paper ID: 4] What sank in the harbour?", "Aurora"), SHIP, "tag"),
        (asked("Where were wolves seen?", "Near the glacier"), WOLF, "words"),
        ({"text": "The Aurora sank in Lind."}, SHIP, "words"),
    ],
)
def test_how_items_are_linked(
    tmp_path: Path, row: dict[str, Any], passage: Passage, by: str
) -> None:
    (found,) = read(tmp_path, row)
    assert (found.item.passage, found.item.document) == (passage.id, passage.document)
    assert (found.by, found.problem) == (by, None)


def test_the_tag_is_taken_off_and_kept(tmp_path: Path) -> None:
    (found,) = read(tmp_path, asked("In the Paper ID 3, What did shepherds build?"))
    assert found.item.question == "What did shepherds build?"
    assert found.tag == "In the Paper ID 3,"


def test_a_tag_of_ones_own(tmp_path: Path) -> None:
    row = asked("<<4>> What sank?", "Aurora")
    (found,) = read(tmp_path, row, tag="<<(.+?)>> ")
    assert (found.item.question, found.item.passage, found.tag) == ("What sank?", "ship", "<<4>>")
    (plain,) = read(tmp_path, row, tag=None)
    assert plain.item.question == "<<4>> What sank?"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (asked("What sank?", passage="boat"), "no_such_passage"),
        (asked("What sank?", document="9"), "no_such_document"),
        (asked("In the Paper ID 9, What sank?"), "no_such_document"),
        (asked("Who composed the sonata?", "Clara Wieck"), "no_alike_passage"),
        (asked("Who composed the sonata of the glacier?", "Clara Wieck"), "no_alike_passage"),
    ],
)
def test_what_cannot_be_linked_is_kept_with_its_reason(
    tmp_path: Path, row: dict[str, Any], problem: str
) -> None:
    good = asked("Where were wolves seen?", "Near the glacier")
    found = read(tmp_path, row, good)
    assert [one.problem for one in found] == [problem, None]
    assert found[0].item.passage == ""
    assert found[0].item.question
    linked, lost = by_passage(found)
    assert linked == {WOLF.id: [found[1].item]}
    assert lost == [found[0]]


def test_fields_of_items_are_kept_and_others_left_out(tmp_path: Path) -> None:
    row = asked("What sank?", "Aurora", passage="ship", form="exam", level="recall", score=3)
    plain, own, named = read(tmp_path, row, row | {"id": 7}, asked("Q?", form=None), form="qa")
    assert (plain.item.form, plain.item.level, len(plain.item.id)) == ("exam", "recall", 16)
    assert (own.item.id, own.line) == ("7", 2)
    assert named.item.form == "qa"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question": "What sank?"}, "items.jsonl:2: no 'answer'; the row has: question"),
        ({"topic": "x"}, "items.jsonl:2: no 'question' with 'answer', or 'text'"),
        (asked("What?", answer=["a"]), "items.jsonl:2: 'answer' is ['a']; expected text"),
        ([1], "items.jsonl:2: got a JSON list"),
        (asked("What?\0"), "items.jsonl:2: 'question' holds a NUL byte"),
    ],
)
def test_the_first_bad_row_stops_by_its_line(tmp_path: Path, row: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, asked("What sank?", "Aurora"), row)
    assert said in str(caught.value)


def test_files_and_tags_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        read_given(tmp_path / "none.jsonl", [])
    with pytest.raises(InputError, match="no items"):
        read(tmp_path)
    with pytest.raises(InputError, match="not a regular expression"):
        read(tmp_path, asked("What?"), tag="(")
    with pytest.raises(InputError, match="no group"):
        read(tmp_path, asked("What?"), tag=r"\[x\] ")
