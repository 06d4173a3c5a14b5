"""Every fact gets other wordings of its question; a wording that is none is told and left out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from lorepack import facts as room
from lorepack import world
from lorepack.errors import InputError, LorepackError
from lorepack.facts import Fact
from lorepack.synthesis import ParaphraseSettings, paraphrase
from lorepack.synthesis.writers.writer import Reply, Request

from .scripted import Scripted, proper

FACT = Fact("Where does Ida Voss live?", "Rostock")


def saying(*wordings: str) -> Scripted:
    """A writer that always says the same wordings."""
    return Scripted(lambda request: json.dumps({"items": wordings}))


def rejected(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_wordings_are_added_and_all_else_stays(tmp_path):
    facts = [dataclasses.replace(f, paraphrases=()) for f in world.facts()[:30]]
    out = tmp_path / "o.jsonl"
    report = paraphrase(iter(facts), out, 3, Scripted())
    written = room.load(out)
    assert [dataclasses.replace(fact, paraphrases=()) for fact in written] == facts
    assert all(len(fact.paraphrases) == 3 for fact in written)
    assert (report.facts, report.wordings, report.existing, report.short) == (30, 90, 0, 0)
    assert report.rejected == {}


def test_wordings_that_were_there_come_first_and_count(tmp_path):
    fact = dataclasses.replace(FACT, paraphrases=("In which town does Ida Voss live?",))
    writer = saying("Name the town where Ida Voss lives.", "Where is Ida Voss at home?")
    report = paraphrase([fact], tmp_path / "o.jsonl", 2, writer)
    (written,) = room.load(tmp_path / "o.jsonl")
    assert written.paraphrases == (*fact.paraphrases, "Name the town where Ida Voss lives.")
    assert (report.wordings, report.existing, report.rejected) == (1, 1, {"surplus": 1})
    assert writer.asked[0].task.n == 1


def test_a_fact_with_enough_of_them_is_not_asked_for(tmp_path):
    fact = dataclasses.replace(FACT, paraphrases=("One?", "Two?", "Three?"))
    writer = Scripted()
    paraphrase([fact], tmp_path / "o.jsonl", 2, writer)
    assert writer.asked == []
    assert room.load(tmp_path / "o.jsonl")[0].paraphrases == fact.paraphrases


@pytest.mark.parametrize(
    ("wording", "reason", "detail"),
    [
        ("where does IDA VOSS live", "duplicate", None),
        ("Does Ida Voss live in Rostock, and where?", "answer_in_question", "Rostock"),
        ("Where does she live?", "names", "lost: "),
        ("Where does Ida Voss live with Max Brandt?", "names", "new: "),
        ("Where did Ida Voss live in 1998?", "names", "new: 1998"),
        ("I'm sorry, I cannot provide that.", "refusal", None),
        ("Ida Voss is at home.", "not_a_question", None),
        ("Where does Ida Voss live? " * 20, "too_long", "100 words"),
        ("…", "empty", None),
    ],
)
def test_a_wording_that_is_none_is_kept_apart_with_its_reason(tmp_path, wording, reason, detail):
    good = "In which town does Ida Voss live?"
    settings = ParaphraseSettings(rounds=0)
    report = paraphrase([FACT], tmp_path / "o.jsonl", 5, saying(wording, good), settings=settings)
    assert report.rejected == {reason: 1}
    (row,) = rejected(tmp_path / "o.rejected.jsonl")
    assert (row["fact"], row["reason"]) == (FACT.id, reason)
    assert row["wording"] == " ".join(wording.split())
    if detail is not None:
        assert detail in row["detail"]
    assert room.load(tmp_path / "o.jsonl")[0].paraphrases == (good,)
    assert report.short == 1


def test_what_is_no_wording_at_all_is_kept_apart_too(tmp_path):
    writer = Scripted(lambda r: '{"items": ["Where is Ida Voss at home?", null, {"a": 1, "b": 2}]}')
    report = paraphrase([FACT], tmp_path / "o.jsonl", 1, writer)
    assert (report.wordings, report.rejected) == (1, {"format": 2})
    told = [row["text"] for row in rejected(tmp_path / "o.rejected.jsonl")]
    assert told == ["null", '{"a": 1, "b": 2}']


def test_two_wordings_alike_count_once(tmp_path):
    same = ("Ida Voss lives where?", "Ida Voss lives -- where?!")
    report = paraphrase([FACT], tmp_path / "o.jsonl", 5, saying(*same))
    assert report.wordings == 1
    assert report.rejected["duplicate"] >= 1


def test_an_answer_that_stands_in_the_question_may_stand_in_a_wording(tmp_path):
    fact = Fact("What is the full name of the Rostock in which Ida Voss lives?", "Rostock")
    writer = saying("How is the Rostock in which Ida Voss lives called in full?")
    assert paraphrase([fact], tmp_path / "o.jsonl", 1, writer).wordings == 1


def test_what_is_missing_is_asked_for_again_with_what_is_there(tmp_path):
    def one_by_one(request: Request) -> str:
        given = len(request.task.facts[0].paraphrases)
        starts = ("Tell me:", "Please say:", "Do you know:")
        return json.dumps({"items": [f"{starts[given]} {request.task.facts[0].question}"]})

    writer = Scripted(one_by_one)
    report = paraphrase([FACT], tmp_path / "o.jsonl", 3, writer)
    assert report.wordings == 3
    assert [request.task.n for request in writer.asked] == [3, 2, 1]
    assert "Tell me: Where" in writer.asked[1].user


def test_what_was_turned_away_is_not_asked_for_again(tmp_path):
    writer = saying("Where does she live?", "Where is Ida Voss at home?")
    paraphrase([FACT], tmp_path / "o.jsonl", 5, writer)
    assert "Where does she live?" in writer.asked[1].user


def test_the_order_of_facts_and_the_bytes_do_not_depend_on_the_window(tmp_path):
    facts = [dataclasses.replace(f, paraphrases=()) for f in world.facts()[:50]]
    for window in (1, 7, 512):
        paraphrase(
            facts, tmp_path / f"{window}.jsonl", 3, Scripted(),
            settings=ParaphraseSettings(window=window),
        )  # fmt: skip
    assert len({(tmp_path / f"{w}.jsonl").read_bytes() for w in (1, 7, 512)}) == 1
    assert [f.id for f in room.load(tmp_path / "7.jsonl")] == [f.id for f in facts]


def test_the_same_command_asks_nothing_twice(tmp_path):
    facts = list(world.new_facts(20))
    writer = Scripted()
    first = paraphrase(facts, tmp_path / "o.jsonl", 12, writer)
    before, asked = (tmp_path / "o.jsonl").read_bytes(), len(writer.asked)
    second = paraphrase(facts, tmp_path / "o.jsonl", 12, writer)
    assert len(writer.asked) == asked > 0
    assert (second.requests, second.cached) == (0, first.requests)
    assert (tmp_path / "o.jsonl").read_bytes() == before


def test_a_writer_that_stops_keeps_what_it_gave(tmp_path):
    facts = [dataclasses.replace(f, paraphrases=()) for f in world.facts()[:20]]
    with pytest.raises(LorepackError, match="nobody listens"):
        paraphrase(facts, tmp_path / "o.jsonl", 3, Scripted(stop_after=7))
    assert not (tmp_path / "o.jsonl").exists()
    report = paraphrase(facts, tmp_path / "o.jsonl", 3, Scripted())
    assert (report.cached, report.requests) == (7, 13)


def test_requests_without_a_reply_are_counted_and_asked_again(tmp_path):
    def failing(request: Request) -> Reply | str:
        return Reply(failed="busy") if request.task.facts[0] == FACT else proper(request)

    facts = [FACT, Fact("Who runs the Harbour Museum?", "Ida Voss")]
    report = paraphrase(facts, tmp_path / "o.jsonl", 2, Scripted(failing))
    assert (report.failed, report.rejected, report.short) == (1, {"no_reply": 1}, 1)
    report = paraphrase(facts, tmp_path / "o.jsonl", 2, Scripted())
    assert (report.failed, report.requests, report.short) == (0, 1, 0)


def test_a_table_is_written_where_the_name_says_so(tmp_path):
    paraphrase([FACT], tmp_path / "o.csv", 2, Scripted())
    assert len(room.load(tmp_path / "o.csv")[0].paraphrases) == 2
    with pytest.raises(InputError, match="no known format"):
        paraphrase([FACT], tmp_path / "o.txt", 2, Scripted())
    with pytest.raises(InputError, match="at least 1"):
        paraphrase([FACT], tmp_path / "o.jsonl", 0, Scripted())
