"""Forms: what they ask, of whom, how often, and what becomes of the replies."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from lorepack.errors import InputError
from lorepack.synthesis.forms import FORMS, Ask, form_named
from lorepack.synthesis.forms.rounds import AT_ONCE, sentences_of

from .stand import OTHER, PASSAGE, TEXT, Stand, numbered, told


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("n", [1, 5, 23])
def test_every_form_ends_with_as_many_items_as_were_asked_for(form, n):
    job = Stand([PASSAGE, OTHER], n, per_document=form.per == "document")
    told(form, job)
    wanted = {"original": 2, "entity-pairs": min(n, 8)}.get(form.name, 2 * n)
    assert len(job.all) == wanted
    for item in job.all:
        assert item.form == form.name
        assert item.document == "d"
        held = {
            "questions": item.question and item.answer,
            "texts": item.text and not item.question,
            "targets": item.task and item.text,
        }
        assert held[form.yields]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_form_asks_no_more_once_nothing_can_be_had(form):
    job = Stand([PASSAGE], 4, rounds=9)
    seen = told(form, job, lambda ask, number: None)
    assert len(seen.turns) <= 1 + job.rounds + (form.name == "exam")
    assert form.name == "original" or not job.all
    refused = Stand([PASSAGE], 4, rounds=3, admits=lambda item: False)
    assert len(told(form, refused).turns) <= 2 * (1 + refused.rounds)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_the_same_job_asks_the_same(form):
    one, other = (told(form, Stand([PASSAGE, OTHER], 7)).asks for _ in range(2))
    assert one == other


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_no_request_of_a_conversation_repeats_another(form):
    asks = told(form, Stand([PASSAGE, OTHER], 9, admits=lambda item: False)).asks
    keys = [json.dumps([ask.prompt, ask.passage.id, ask.n, dict(ask.values)]) for ask in asks]
    assert form.name == "exam" or len(set(keys)) == len(keys)


def test_questions_go_on_with_the_sentences_that_none_touched():
    def reply(ask: Ask, number: int) -> Any:
        rows = numbered(ask, number)["items"]
        return [{**row, "evidence": "It opened in 1822."} for row in rows]

    job = Stand([PASSAGE], 4)
    first, second = told(FORMS["qa"], job, reply).asks
    assert (first.prompt, first.n) == ("qa", 3)
    assert (second.prompt, second.n) == ("qa_more", 1)
    assert "It opened in 1822." not in second.values["sentences"]
    assert "It fell soon." in second.values["sentences"]
    assert second.values["earlier"] == [item.question for item in job.all[:3]]


def test_rejected_questions_are_told_too_so_that_they_do_not_come_again():
    job = Stand([PASSAGE], 3, rounds=1, admits=lambda item: "a1." not in (item.answer or ""))
    asks = told(FORMS["qa"], job).asks
    assert [ask.n for ask in asks] == [3, 3]
    assert len(asks[1].values["earlier"]) == 3
    assert len(job.all) == 3


def test_without_rounds_all_is_asked_at_once():
    (turn,) = told(FORMS["qa"], Stand([PASSAGE, OTHER], 4, rounds=0)).turns
    assert [(ask.prompt, ask.n) for ask in turn] == [("qa", 4), ("qa", 4)]


def test_many_questions_are_shared_out_with_a_part_of_the_sentences_each():
    (turn,) = told(FORMS["qa"], Stand([PASSAGE], 23, rounds=0)).turns
    assert [ask.n for ask in turn] == [8, 8, 7]
    assert max(ask.n for ask in turn) <= AT_ONCE
    assert [s for ask in turn for s in ask.values["sentences"]] == sentences_of(PASSAGE)


def test_a_broken_reply_of_one_passage_does_not_stop_another():
    job = Stand([PASSAGE, OTHER], 2)
    told(FORMS["qa"], job, lambda ask, i: None if ask.passage is PASSAGE else numbered(ask, i))
    assert {passage: len(items) for passage, items in job.items.items() if items} == {"p2": 2}


def test_rewordings_of_a_passage_are_each_in_another_manner():
    asks = told(FORMS["rewrite"], Stand([PASSAGE], 12)).asks
    assert len({ask.values["manner"] for ask in asks}) == 12


def test_later_summaries_are_told_the_earlier_ones():
    turns = told(FORMS["summary"], Stand([PASSAGE], 6, rounds=0)).turns
    assert [turn[0].n for turn in turns] == [4, 2]
    assert len(turns[1][0].values["earlier"]) == 4


def test_pairs_are_of_entities_that_occur_together_and_are_not_parts_of_each_other():
    job = Stand([PASSAGE, OTHER], 40, per_document=True)
    seen = told(FORMS["entity-pairs"], job)
    pairs = {(item.subject, item.object): item.passage for item in job.all}
    named = {frozenset(pair) for pair in pairs}
    assert len(named) == len(pairs) == 8
    assert not any({"Ida Voss", "Voss"} <= pair or "Nobody" in pair for pair in named)
    assert pairs["Bo Lund", "Ulm"] == "p2"
    assert pairs["Bo Lund", "Varn"] == "p1"
    for ask in seen.asks[2:]:
        assert ask.values["first"] in ask.passage.text
        assert ask.values["second"] in ask.passage.text


def test_self_study_asks_from_every_seed_and_answers_each_question():
    job = Stand([PASSAGE], 10)
    questions, answers = told(FORMS["self-study"], job).turns
    assert {ask.values["kind"] for ask in questions} == {
        "structure", "summarise", "quiz", "use", "creative",
    }  # fmt: skip
    assert [ask.values["question"] for ask in answers] == [item.question for item in job.all]


def test_deep_context_targets_keep_a_task_that_names_the_document_and_holds_no_passage():
    job = Stand([PASSAGE, OTHER], 20)
    told(FORMS["deep-context"], job)
    tasks = [item.task or "" for item in job.kept(PASSAGE)]
    assert len(set(tasks)) == 20
    assert all("“Varn”" in task and TEXT not in task for task in tasks)
    assert all("in the document" in (item.task or "") for item in job.kept(OTHER))


@pytest.mark.parametrize(("n", "shares"), [(1, (1, 0, 0)), (8, (3, 3, 2)), (34, (12, 11, 11))])
def test_levels_of_an_exam_are_as_even_as_can_be(n, shares):
    job = Stand([PASSAGE], n)
    told(FORMS["exam"], job)
    counts = Counter(item.level for item in job.all)
    assert tuple(counts[level] for level in ("recall", "comprehension", "inference")) == shares


def test_an_exam_takes_no_more_of_a_level_than_its_share_and_asks_again_for_what_is_lacking():
    def reply(ask: Ask, number: int) -> Any:
        row = {"question": f"Why {number}?", "answer": "x", "level": "recall"}
        many = [{**row, "question": f"Who {number}.{i}?"} for i in range(9)]
        return many if ask.values["level"] == "recall" else [row]

    job = Stand([PASSAGE], 6, rounds=1)
    seen = told(FORMS["exam"], job, reply)
    assert [item.level for item in job.all] == ["recall", "recall"]
    assert [ask.values["level"] for ask in seen.turns[1]] == ["comprehension", "inference"]


def test_only_the_exam_is_for_evaluation():
    assert [form.name for form in FORMS.values() if form.evaluation] == ["exam"]


def test_a_form_by_another_name_is_told():
    assert form_named("entity-pairs").per == "document"
    with pytest.raises(InputError, match=r"no form 'sumary'; did you mean summary\?"):
        form_named("sumary")
