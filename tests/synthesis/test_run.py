"""A synthesis keeps what is good, counts what is not, and ends the same however it got there."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack import facts as room
from lorepack.errors import InputError
from lorepack.facts import Fact
from lorepack.facts.passage import Passage
from lorepack.facts.passages_file import read_passages
from lorepack.synthesis import SynthesisReport, SynthesisSettings, synthesize
from lorepack.synthesis.given import Given, read_given
from lorepack.synthesis.item import Item
from lorepack.synthesis.work import in_order
from lorepack.synthesis.writers.writer import Request

from .scripted import Scripted, counted, passage, passages, proper, questions_on

FORMS = ("qa:3", "summary:1", "original")


def settings(*forms: str, **more: Any) -> SynthesisSettings:
    return SynthesisSettings(forms=forms or FORMS, **more)  # type: ignore[arg-type]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def rejected_items(folder: Path, reason: str) -> list[dict[str, Any]]:
    return [row["item"] for row in rows(folder / "rejected.jsonl") if row["reason"] == reason]


class TestOutput:
    def test_every_item_goes_where_it_is_used(self, tmp_path):
        forms = ("qa:3", "exam:2", "summary", "original", "deep-context:1")
        told = passages(6, a_document=2)
        report = synthesize(told, tmp_path, settings(*forms), Scripted(proper_without_names))
        assert report.passages == 6
        items = rows(tmp_path / "items.jsonl")
        assert (
            len(items)
            == report.items
            == report.facts + report.texts + report.targets + (report.exam)
        )
        facts = room.load(tmp_path / "facts.jsonl")
        assert {fact.source for fact in facts} == {"qa"}
        texts = list(read_passages(tmp_path / "texts.jsonl"))
        originals = [text for text in texts if text.source == "original"]
        assert [dataclasses.replace(text, source=None) for text in originals] == told
        assert len([text for text in texts if text.source == "summary"]) == 6
        exam = room.load(tmp_path / "exam.jsonl")
        assert {fact.split for fact in exam} == {"recall"}
        assert len({item["id"] for item in items}) == len(items)

    def test_results_stand_in_the_order_of_the_passages_whoever_is_ready_first(self, tmp_path):
        def slow_on_some(request: Request) -> str:
            slow = len(request.user) % 3 == 0 and "could not be used" not in request.user
            return "wait" if slow else proper(request)

        told = passages(40, a_document=3)
        synthesize(told, tmp_path, settings("summary", window=7), Scripted(slow_on_some))
        of = [item["passage"] for item in rows(tmp_path / "items.jsonl")]
        assert of == [p.id for p in told]

    def test_equal_questions_of_two_documents_do_not_collide(self, tmp_path):
        def same(request: Request) -> str:
            answer = request.task.passage.text.split()[-1].rstrip(".")  # type: ignore[union-attr]
            return json.dumps({"items": [{"question": "Who is it, in the end?", "answer": answer}]})

        told = [Passage("It was Ida."), Passage("It was Max."), Passage("Here it is Max.")]
        report = synthesize(told, tmp_path, settings("qa:1"), Scripted(same))
        facts = room.load(tmp_path / "facts.jsonl")
        assert [fact.answer for fact in facts] == ["Ida", "Max"]
        assert report.rejected == {"duplicate": 1}

    @pytest.mark.parametrize("window", [1, 2, 64])
    def test_no_list_says_twice_what_two_documents_say(self, tmp_path, window):
        text = passage(0).text
        told = [Passage(text, document=name) for name in "abc"] + passages(3)
        forms = ("qa:4", "summary", "deep-context:1", "exam:1", "original")
        report = synthesize(told, tmp_path, settings(*forms, window=window), Scripted(apart))
        for name in ("facts.jsonl", "exam.jsonl"):
            found = [(fact.question, fact.answer) for fact in room.load(tmp_path / name)]
            assert len(set(found)) == len(found) > 0
        summaries = [
            t.text for t in read_passages(tmp_path / "texts.jsonl") if t.source == "summary"
        ]
        assert len(set(summaries)) == len(summaries) == 3
        originals = [t for t in read_passages(tmp_path / "texts.jsonl") if t.source == "original"]
        assert len(originals) == 6, "the passages themselves are the user's to repeat"
        twice = [row for row in rows(tmp_path / "rejected.jsonl") if row["reason"] == "duplicate"]
        assert len(twice) == report.rejected["duplicate"] > 6
        items = rows(tmp_path / "items.jsonl")
        assert len(items) == report.items == sum(form["kept"] for form in report.forms.values())
        found = [re.fullmatch(r"equal to items.jsonl:(\d+)", row["detail"]) for row in twice]
        lines = [(row["item"], int(at[1])) for row, at in zip(twice, found, strict=True) if at]
        assert len(lines) > 6
        for item, line in lines:
            assert all(items[line - 1].get(n) == item.get(n) for n in ("form", "question", "text"))
        assert not [
            row for row in rows(tmp_path / "uncovered.jsonl") if row["passage"] == told[1].id
        ]
        assert not room.check(tmp_path / "facts.jsonl").warnings

    def test_equal_questions_whose_tags_differ_are_two(self, tmp_path):
        told = [Passage(passage(0).text, document=name) for name in "ab"]
        report = synthesize(told, tmp_path, settings("qa:3", tag="[{document}] "), Scripted())
        assert (report.facts, report.rejected) == (6, {})

    def test_tags_stand_before_questions_and_answers_and_the_plain_answer_counts_too(
        self, tmp_path
    ):
        tags = {"tag": "[{document}] ", "answer_tag": "({document}) "}
        synthesize(passages(2, 1), tmp_path, settings("qa:1", "exam:1", **tags), Scripted(apart))
        fact = room.load(tmp_path / "facts.jsonl")[0]
        assert fact.question.startswith("[d0] What")
        assert fact.answer.startswith("(d0) ")
        assert fact.aliases == (fact.answer.removeprefix("(d0) "),)
        exam = room.load(tmp_path / "exam.jsonl")[0]
        assert exam.question.startswith("[d0] ")
        assert not exam.answer.startswith("(")
        assert not rows(tmp_path / "items.jsonl")[0]["question"].startswith("[")

    def test_a_tag_that_a_passage_cannot_fill_is_told(self, tmp_path):
        with pytest.raises(InputError, match="has no 'document'"):
            synthesize(passages(1), tmp_path, settings(tag="[{document}] "), Scripted())

    def test_what_is_not_covered_is_listed(self, tmp_path):
        told = Passage("Ida Voss runs a museum. Entry is free. Each spring the cellar floods.")
        report = synthesize([told], tmp_path, settings("qa:1", rounds=0), Scripted(last_only))
        (row,) = rows(tmp_path / "uncovered.jsonl")
        assert row == {
            "passage": told.id,
            "sentences": ["Ida Voss runs a museum.", "Entry is free."],
        }
        assert report.coverage is not None
        assert report.coverage["uncovered_sentences"] == 2
        assert 0 < report.coverage["mean"] < 1
        assert report.coverage["full"] == 0

    def test_originals_alone_have_no_coverage(self, tmp_path):
        report = synthesize(passages(2), tmp_path, settings("original"), Scripted())
        assert report.coverage is None
        assert (report.texts, report.requests) == (2, 0)

    def test_half_a_surrogate_pair_and_a_nul_reach_no_file(self, tmp_path):
        def odd(request: Request) -> str:
            return '{"items": ["Ada A0son lives in Arles \\ud83d.", "\\u0000 Ada A0son lives."]}'

        synthesize([passage(0)], tmp_path, settings("summary:2"), Scripted(odd))
        texts = [text.text for text in read_passages(tmp_path / "texts.jsonl")]
        assert texts == ["Ada A0son lives in Arles ?.", "Ada A0son lives."]


def proper_without_names(request: Request) -> str:
    """As `proper`; exam questions are worded otherwise than those for training."""
    task = request.task
    if task.prompt == "deep_context":
        return "{}"
    return apart(request)


def apart(request: Request) -> str:
    if request.task.prompt != "exam":
        return proper(request)
    assert request.task.passage is not None
    items = questions_on(request.task.passage.text)[: request.task.n]
    for number, item in enumerate(items):
        item["question"] = f"Name whatever ends sentence {number}, if there is any at all."
        item["level"] = "recall"
    return json.dumps({"items": items})


def last_only(request: Request) -> str:
    assert request.task.passage is not None
    return json.dumps({"items": questions_on(request.task.passage.text)[2:3]})


class TestCounts:
    def test_more_than_was_asked_for_is_surplus(self, tmp_path):
        def many(request: Request) -> str:
            return json.dumps({"items": questions_on(request.task.passage.text)})  # type: ignore[union-attr]

        report = synthesize(passages(4), tmp_path, settings("qa:2", rounds=0), Scripted(many))
        assert (report.facts, report.rejected) == (8, {"surplus": 4})
        assert {row["reason"] for row in rows(tmp_path / "rejected.jsonl")} == {"surplus"}

    def test_rejected_items_are_kept_with_reason_and_detail(self, tmp_path):
        def bad(request: Request) -> str:
            items = questions_on(request.task.passage.text)[:1]  # type: ignore[union-attr]
            invented = {"question": "Who painted it?", "answer": "Rembrandt van Rijn"}
            return json.dumps({"items": [*items, *items, invented]})

        report = synthesize([passage(0)], tmp_path, settings("qa:3", rounds=0), Scripted(bad))
        assert report.rejected == {"duplicate": 1, "ungrounded": 1}
        kept = {row["reason"]: row for row in rows(tmp_path / "rejected.jsonl")}
        assert kept["ungrounded"]["item"]["answer"] == "Rembrandt van Rijn"
        assert "rijn" in kept["ungrounded"]["detail"]
        counts = report.forms["qa"]
        assert (counts["passages"], counts["asked"], counts["replies"], counts["kept"]) == (
            1, 1, 1, 1
        )  # fmt: skip

    def test_a_broken_reply_is_asked_again_with_what_was_wrong(self, tmp_path):
        def shaky(request: Request) -> str:
            whole = proper(request)
            return whole if "could not be used" in request.user else whole[:-30]

        writer = Scripted(shaky)
        report = synthesize(passages(3), tmp_path, settings("qa:3", rounds=0), writer)
        assert (report.facts, report.rejected) == (9, {})
        assert (report.forms["qa"]["asked"], report.forms["qa"]["replies"]) == (6, 3)
        again = [r.user for r in writer.asked if "could not be used" in r.user]
        assert len(again) == 3
        assert all("its JSON breaks off before the end" in text for text in again)

    def test_after_the_attempts_a_broken_reply_is_rejected_with_its_text(self, tmp_path):
        def hopeless(request: Request) -> str:
            return f"{request.seed} I'd rather " + "chat " * 1_000

        told = settings("qa:3", attempts=4)
        report = synthesize([passage(0)], tmp_path, told, Scripted(hopeless))
        assert (report.rejected, report.forms["qa"]["asked"]) == ({"format": 1}, 4)
        (row,) = rows(tmp_path / "rejected.jsonl")
        assert row["detail"] == "there is no JSON in it"
        assert row["text"].startswith("3 I'd rather")
        assert len(row["text"]) == 2_000

    def test_who_repeats_a_broken_reply_is_not_asked_a_third_time(self, tmp_path):
        report = synthesize(
            [passage(0)], tmp_path, settings("qa:3", attempts=9), Scripted(lambda r: "no")
        )
        assert report.forms["qa"]["asked"] == 2

    def test_a_writer_that_finds_nothing_is_told_from_one_that_fails(self, tmp_path):
        report = synthesize(
            passages(2), tmp_path, settings("qa"), Scripted(lambda r: '{"items": []}')
        )
        assert report.rejected == {"nothing": 2}

    def test_tokens_and_dollars_are_those_of_all_replies(self, tmp_path):
        writer = Scripted()
        report = synthesize(passages(5), tmp_path, settings(), writer)
        replies = [counted(request, proper(request)) for request in writer.asked]
        assert report.prompt_tokens == sum(reply.prompt_tokens for reply in replies)
        assert report.completion_tokens == sum(reply.completion_tokens for reply in replies)
        assert report.cost == pytest.approx(sum(reply.cost or 0 for reply in replies))
        assert sum(form["cost"] or 0 for form in report.forms.values()) == pytest.approx(
            report.cost
        )

    def test_further_rounds_ask_for_what_is_missing(self, tmp_path):
        def slow(request: Request) -> str:
            items = questions_on(request.task.passage.text)  # type: ignore[union-attr]
            place = len([r for r in writer.asked if r.task.passage == request.task.passage])
            return json.dumps({"items": items[place - 1 : place]})

        writer = Scripted(slow)
        report = synthesize(passages(2), tmp_path, settings("qa:3", rounds=2), writer)
        assert report.facts == 6
        assert {r.task.prompt for r in writer.asked} == {"qa", "qa_more"}


PARTS = st.sampled_from(
    [
        {"question": "Where does Ada A0son live?", "answer": "Arles"},
        {"question": "In what year was Ada A0son born?", "answer": "1700", "level": "recall"},
        {"question": "What is the trade of Ada A0son?", "answer": "baker", "level": "inference"},
        {"question": "Who painted the town?", "answer": "Rembrandt van Rijn", "level": "recall"},
        {"question": "Where does she live?"},
        {"question": "", "answer": "Arles"},
        None, 7, "Arles", [], {"answer": ["x", {"y": 1}]},
    ]
)  # fmt: skip


class TestNothingIsLost:
    @pytest.mark.parametrize("form", ["qa:2", "qa:9", "exam:3", "exam:7"])
    @given(replies=st.lists(st.lists(PARTS, max_size=8), min_size=3, max_size=3))
    @hypothesis.settings(max_examples=40, deadline=None)
    def test_every_part_of_a_reply_that_was_used_is_kept_or_rejected(self, form, replies):
        taken: list[int] = []

        def say(request: Request) -> str:
            parts = replies[len(taken) % 3]
            usable = [part for part in parts if isinstance(part, dict) and part.get("question")]
            whole = any(part.get("answer") for part in usable)
            taken.append(len(parts) if whole else 1)  # a reply without anything usable is one
            return json.dumps({"items": parts})

        with TemporaryDirectory() as folder:
            told = settings(form, rounds=1, attempts=1)
            report = synthesize([passage(0)], folder, told, Scripted(say))
            assert report.items + sum(report.rejected.values()) == sum(taken)
            listed = Counter(row["reason"] for row in rows(Path(folder) / "rejected.jsonl"))
            assert listed == report.rejected

    def test_a_broken_part_is_rejected_with_its_words(self, tmp_path):
        def shaky(request: Request) -> str:
            broken = [None, {"question": "Where?"}, {"answer": "x" * 9_000}]
            return json.dumps({"items": [*questions_on(passage(0).text), *broken]})

        report = synthesize([passage(0)], tmp_path, settings("qa:3", rounds=0), Scripted(shaky))
        assert (report.facts, report.rejected) == (3, {"format": 3})
        found = rows(tmp_path / "rejected.jsonl")
        assert [row["text"][:21] for row in found] == [
            "null", '{"question": "Where?"', '{"answer": "xxxxxxxxx'
        ]  # fmt: skip
        assert {(row["form"], row["passage"]) for row in found} == {("qa", passage(0).id)}
        assert max(len(row["text"]) for row in found) == 2_000

    def test_exam_questions_of_another_level_and_beyond_the_share_are_told(self, tmp_path):
        def say(request: Request) -> str:
            items = [{**q, "level": "recall"} for q in questions_on(passage(0).text)]
            return json.dumps({"items": items})

        report = synthesize([passage(0)], tmp_path, settings("exam:3", rounds=0), Scripted(say))
        assert (report.exam, report.rejected) == (1, {"level": 6, "surplus": 2})
        (row, *_) = [row for row in rows(tmp_path / "rejected.jsonl") if row["reason"] == "level"]
        assert row["item"]["level"] == "recall"
        assert row["detail"] == "it was asked for comprehension"


class TestLeaks:
    def test_questions_of_the_evaluation_are_kept_out_and_measured(self, tmp_path):
        asked = questions_on(passage(0).text)[0]
        evaluation = [Fact(asked["question"], "Arles")]
        report = synthesize(
            passages(3), tmp_path, settings("qa:3", rounds=0), Scripted(), evaluation=evaluation
        )
        assert report.rejected.keys() == {"leak"}
        assert asked["question"] not in {f.question for f in room.load(tmp_path / "facts.jsonl")}
        assert report.leaks is not None
        assert report.leaks["per_training_question"]["questions"] == report.facts > 0
        assert 0 < report.leaks["per_evaluation_question"]["mean_best"] < 1

    def test_without_an_evaluation_nothing_is_measured(self, tmp_path):
        assert synthesize(passages(1), tmp_path, settings(), Scripted()).leaks is None

    def test_the_exam_comes_first_and_what_it_asks_is_not_trained(self, tmp_path):
        writer = Scripted()  # whose exam asks as its training questions do
        report = synthesize(passages(2), tmp_path, settings("qa:3", "exam:3"), writer)
        assert report.exam >= 2
        asked = {fact.question for fact in room.load(tmp_path / "exam.jsonl")}
        assert asked & {item["question"] for item in rejected_items(tmp_path, "leak")} == asked
        assert report.rejected["leak"] > 0
        first = [request.task.prompt for request in writer.asked[:2]]
        assert first == ["exam", "exam"]
        assert report.leaks is None


class TestFacts:
    def test_the_writer_is_told_the_facts_of_each_passage(self, tmp_path):
        told = passages(2)
        facts = [
            Fact("Where does Ada A0son live?", "Arles", subject="Ada A0son", object="Arles"),
            Fact("Where does Ada A0son work?", "Bremen", subject="Ada A0son", object="Bremen"),
        ]
        writer = Scripted()
        synthesize(told, tmp_path, settings("qa:1"), writer, facts=facts)
        of = {request.task.passage: request.task.facts for request in writer.asked}
        assert of == {told[0]: (facts[0],), told[1]: ()}


class TestGiven:
    def test_items_of_others_pass_the_same_gates(self, tmp_path):
        told = passages(2, 1)
        lines = [
            {"question": q["question"], "answer": q["answer"], "document": p.document}
            for p in told
            for q in questions_on(p.text)
        ]
        lines += [lines[0], {"question": "Who?", "answer": "Rembrandt", "document": "d1"}]
        lines += [{"question": "Who?", "answer": "Me", "document": "d9"}]
        (tmp_path / "g.jsonl").write_text("\n".join(map(json.dumps, lines)))
        given = read_given(tmp_path / "g.jsonl", told)
        report = synthesize(told, tmp_path / "out", given=given)
        assert report.facts == 6
        assert report.rejected == {"duplicate": 1, "no_such_document": 1, "ungrounded": 1}
        assert report.requests == 0
        assert len(room.load(tmp_path / "out" / "facts.jsonl")) == 6

    def test_an_item_of_a_passage_that_never_came_is_not_lost(self, tmp_path):
        item = Item("given", "elsewhere", question="Who?", answer="Ida")
        report = synthesize(passages(1), tmp_path, given=[Given(item, 1, by="passage")])
        assert report.rejected == {"no_such_passage": 1}

    def test_ids_of_others_that_repeat_do_not_collide(self, tmp_path):
        told = passages(1)
        items = [
            Given(Item("given", told[0].id, id="1", **one), n)  # type: ignore[arg-type]
            for n, one in enumerate(questions_on(told[0].text), 1)
        ]
        synthesize(told, tmp_path, given=items)
        assert len(room.load(tmp_path / "facts.jsonl")) == 3

    def test_no_items_are_refused(self, tmp_path):
        with pytest.raises(InputError, match="no items are given"):
            synthesize(passages(1), tmp_path, given=[])


def test_memory_holds_a_window_and_no_more(tmp_path, monkeypatch):
    from lorepack.synthesis import run

    most, open_now = 0, 0

    def watched(stretches: Any, order: Any, desk: Any, put: Any) -> None:
        def counted_in() -> Any:
            nonlocal most, open_now
            for stretch in stretches:
                open_now += 1
                most = max(most, open_now)
                yield stretch

        def counted_out(work: Any) -> None:
            nonlocal open_now
            open_now -= 1
            put(work)

        in_order(counted_in(), order, desk, counted_out)

    monkeypatch.setattr(run, "in_order", watched)
    synthesize(passages(300), tmp_path, settings("qa:3", window=5), Scripted())
    assert most == 5
    assert open_now == 0


def test_the_report_is_read_back_from_its_folder(tmp_path):
    report = synthesize(passages(3), tmp_path, settings(), Scripted())
    assert SynthesisReport.read(tmp_path) == report
    assert json.loads(json.dumps(report.to_json()))["passages"] == 3
