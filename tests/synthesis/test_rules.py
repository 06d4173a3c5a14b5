"""The writer without a model: answers are spans of the passage, statements stand in it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lorepack import world
from lorepack.facts import Fact, load
from lorepack.facts.importing import import_facts
from lorepack.facts.importing.templates import wordings_of
from lorepack.facts.passage import Passage
from lorepack.facts.passages_file import read_passages
from lorepack.synthesis import SynthesisSettings, synthesize
from lorepack.synthesis.forms import FORMS
from lorepack.synthesis.prompts import Prompts
from lorepack.synthesis.replies import LEVELS
from lorepack.synthesis.writers.asking import by_pattern
from lorepack.synthesis.writers.reading import reading
from lorepack.synthesis.writers.rearranging import reworded
from lorepack.synthesis.writers.rewording import as_clause, wordings
from lorepack.synthesis.writers.rules import RuleWriter
from lorepack.synthesis.writers.triples import triples
from lorepack.synthesis.writers.writer import Reply, Request, Task
from lorepack.text import matches, normalise

from .stand import Stand

DATA = Path(__file__).parents[3] / "shared" / "data" / "lora-as-knowledge-memory"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="no real data: ../shared/data")
WORLD = [(Passage(r.text), r.facts) for r in world.passages(60, seed=3)]
GAP = re.compile(r"^Which (?:word|name|number|date) is missing(?: in “.+?”)?\? “(?P<said>.+)”$")


def wrote(prompt: str, passage: Passage | None, n: int, facts: Any = (), **values: Any) -> Any:
    """What the rules answer, checked as the runner checks it; [] where they have nothing."""
    request = asked(prompt, passage, n, facts, **values)
    (reply,) = replies([request])
    shape = Prompts().shape(prompt)
    if shape is None:
        return reply.text
    found = json.loads(reply.text)["items"]
    return shape.model_validate(found).items if found else []


def asked(prompt: str, passage: Passage | None, n: int, facts: Any = (), **values: Any) -> Request:
    return Request("", "", Task(prompt, n, passage, tuple(facts), values), seed=4)


def replies(requests: list[Request]) -> list[Reply]:
    kept: dict[int, Reply] = {}
    RuleWriter().write(requests, kept.__setitem__)
    assert sorted(kept) == list(range(len(requests)))
    return [kept[index] for index in range(len(requests))]


def imported(name: str, fmt: str, folder: Path) -> list[Passage]:
    report = import_facts(DATA / name, folder / "facts.jsonl", fmt=fmt)
    return list(read_passages(report.passages_out or folder / "facts.jsonl"))


def check_questions(passage: Passage, items: Any) -> None:
    """What holds for every question that the rules ask of a text."""
    text = f" {normalise(passage.text)} "
    for item in items:
        assert f" {normalise(item.answer)} " in text, "an answer is a span of its passage"
        assert item.evidence in passage.text
        assert not matches(item.question, (item.answer,)), "no question holds its answer"
        if gap := GAP.match(item.question):
            whole = gap["said"].replace("____", item.answer).strip("… ")
            shown = " ".join(normalise(part) for part in whole.split("…"))
            assert len(shown.split()) >= 4
            held = normalise(re.sub(r"\s*[(\[][^()\[\]]*[)\]]", "", " ".join(passage.text.split())))
            bare = normalise(re.sub(r"\s*[(\[][^()\[\]]*[)\]]", "", whole))
            assert bare in held or normalise(whole) in text
        else:
            assert item.question.endswith("?")
            assert re.match(r"(?:Who|What|Where|When|By whom|In which)\b", item.question)


@needs_data
def test_questions_on_real_papers_have_answers_that_are_spans(tmp_path):
    passages = imported("paperQA.json", "paperqa", tmp_path)
    assert len(passages) == 15
    for passage in passages:
        items = wrote("qa", passage, 40)
        assert len(items) >= 15, passage.title
        assert len({normalise(item.question) for item in items}) == len(items)
        check_questions(passage, items)
    stands = wrote("qa", passages[0], 3)
    assert (stands[0].question, stands[0].answer) == (
        "What does MCTD stand for?",
        "Monte Carlo Tree Diffusion",
    )


@needs_data
def test_questions_on_real_stories_have_answers_that_are_spans(tmp_path):
    found = imported("narrativeqa_10-20k.jsonl", "narrativeqa", tmp_path)
    whole = [passage for passage in found if passage.title != "Summary"]
    assert len(whole) == 35
    few = 0
    for story in whole:
        passage = Passage(story.text[4_000:8_000], document=story.document)
        items = wrote("qa", passage, 12)
        few += len(items) < 3
        check_questions(passage, items)
    assert few <= len(whole) // 10, "stories in dialogue give little; most give something"


@needs_data
def test_summaries_statements_and_rewritings_of_real_papers_add_no_word(tmp_path):
    for passage in imported("paperQA.json", "paperqa", tmp_path):
        plain = normalise(reading(passage.text, None).text)
        for item in wrote("atomic", passage, 8):
            assert item.evidence in passage.text
            assert not re.search(r"\b(?:we|our|this paper)\b", item.statement, re.IGNORECASE)
        (summary,) = wrote("summary", passage, 1)
        assert 0.05 < len(summary) / len(passage.text) < 0.6
        words = set(plain.split())
        assert all(word in words for word in normalise(summary).split())
        text = wrote("rewrite", passage, 1, number=0)
        assert normalise(text) != plain
        numbers = set(re.findall(r"\d+", text))
        assert numbers <= set(re.findall(r"\d+", passage.text))


@pytest.mark.parametrize(("passage", "facts"), WORLD[:30])
def test_questions_on_the_world_ask_every_fact_and_then_other_wordings(passage, facts):
    items = wrote("qa", passage, 4 * len(facts), facts)
    known = {q: fact for fact in facts for q in (fact.question, *fact.paraphrases)}
    assert [item.question for item in items[: len(facts)]] == [fact.question for fact in facts]
    assert len(items) == 4 * len(facts)
    for item in items:
        assert item.answer in known[item.question].accepted
        assert matches(item.evidence, known[item.question].accepted)


def test_an_exam_asks_in_other_wordings_so_that_training_keeps_its_questions(tmp_path):
    texts = world.passages(20, seed=0)
    facts = [fact for text in texts for fact in text.facts]
    told = [Passage(text.text) for text in texts]
    both = synthesize(
        told, tmp_path / "a", SynthesisSettings(forms=("qa:4", "exam:3")), facts=facts
    )
    alone = synthesize(told, tmp_path / "b", SynthesisSettings(forms=("qa:4",)), facts=facts)
    assert both.exam == 60
    assert both.rejected.get("leak", 0) <= 5
    assert both.facts >= alone.facts - 5
    asked = {fact.question for fact in load(tmp_path / "a" / "exam.jsonl")}
    assert not asked & {fact.question for fact in load(tmp_path / "b" / "facts.jsonl")}


def test_a_fact_of_one_wording_is_asked_in_it_everywhere():
    fact = Fact("Who runs it?", "Ida Voss")
    passage = Passage("The museum is run by Ida Voss.")
    for prompt, level in (("qa", {}), ("exam", {"level": "recall"})):
        assert wrote(prompt, passage, 1, [fact], **level)[0].question == fact.question


@pytest.mark.parametrize(("passage", "facts"), WORLD[:30])
def test_statements_on_the_world_are_its_triples_with_the_words_they_rest_on(passage, facts):
    items = wrote("atomic", passage, 20, facts)
    assert [(i.subject, i.object) for i in items] == [(f.subject, f.answer) for f in facts]
    for item in items:
        assert item.subject in item.statement
        assert item.object in item.statement
        assert item.object in item.evidence


def test_statements_read_as_a_person_would_write_them():
    def said(relation: str, value: str) -> str:
        fact = Fact("?q", value, subject="Ida Voss", relation=relation)
        return triples([fact], value)[0].statement

    assert said("birthPlace", "Varn") == "Ida Voss was born in Varn."
    assert said("profession", "engineer") == "Ida Voss was an engineer by profession."
    assert said("doctoralAdvisor", "Bo") == "The doctoral advisor of Ida Voss is Bo."
    assert said("followedBy", "Bo") == "Ida Voss is followed by Bo."
    assert said("isPartOf", "Varn") == "Ida Voss is part of Varn."
    assert said("dbo:founding_year", "1822") == "Ida Voss was founded in 1822."


@pytest.mark.parametrize(
    ("sentence", "question", "answer"),
    [
        ("Varn was founded in 1822.", "In which year was Varn founded?", "1822"),
        ("Ida Voss was born in Ulm, a town.", "Where was Ida Voss born?", "Ulm"),
        ("The Iron Bridge was built by Bo Lund.", "By whom was the Iron Bridge built?", "Bo Lund"),
        ("In 1822, Ida Voss moved to Varn.", "What did Ida Voss do in 1822?", "moved to Varn"),
        ("Varn is a town in Estmark.", "What is Varn?", "a town in Estmark"),
        (
            "Ida Voss, the mayor of Varn, opened it.",
            "Who or what is Ida Voss?",
            "the mayor of Varn",
        ),
        ("It uses Random Tree Search (RTS).", "What does RTS stand for?", "Random Tree Search"),
        ("Gliding enables long flights.", "What does Gliding enable?", "long flights"),
        ("He was born in Ulm.", None, None),
        ("This is a town.", None, None),
        ("We saw that Varn is a town.", None, None),
        ("Varn was founded in a hurry.", None, None),
    ],
)
def test_sentences_of_a_clear_shape_are_asked_about_and_others_are_not(sentence, question, answer):
    told = reading(sentence, None)
    found = [(a.question, a.answer) for a in by_pattern(told, told.sentences[0])]
    assert found == ([(question, answer)] if question else [])


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("In 1822, the bridge was closed.", "The bridge was closed in 1822."),
        ("The bridge was closed in 1822.", "In 1822, the bridge was closed."),
        ("Because it was old, the bridge fell.", None),
        ("Because it was old, the bridge was closed.", "The bridge was closed because it was old."),
        (
            "The bridge was very old, but it was never closed.",
            "Although the bridge was very old, it was never closed.",
        ),
        ("However, it was closed.", "Still, it was closed."),
        ("Apples, pears and plums.", None),
    ],
)
def test_sentences_change_the_order_of_their_clauses_and_nothing_else(sentence, said):
    assert (reworded(sentence) or [None])[0] == said


ORDINARY = (
    "What is the capital of Chad?",
    "Who wrote Emma?",
    "Where was Ada Lovelace born?",
    "Which firm did Ida Voss work for?",
    "When did the Battle of Hastings take place?",
    "How many people live in Oslo?",
    "What is Henry Feilden's occupation?",
    "Why did the three banks of Varn fail?",
    "In what city was Bo Lund born?",
)


@pytest.mark.parametrize("question", ORDINARY)
def test_an_ordinary_question_has_ten_other_wordings_that_keep_its_names(question):
    made = wrote("paraphrase", None, 12, [Fact(question, "N/A")])
    assert len(made) >= 10
    assert len({normalise(text) for text in (question, *made)}) == len(made) + 1
    names = re.findall(r"(?<=\s)[A-Z]\w+", question)
    for text in made:
        assert all(name in text for name in names)
        assert text[-1] in ".?"


@pytest.mark.parametrize(
    ("question", "clause"),
    [
        ("Where was Ada Lovelace born", "where Ada Lovelace was born"),
        ("Which firm did Ida Voss work for", "which firm Ida Voss worked for"),
        ("What does MCTS stand for", "what MCTS stands for"),
        ("Who wrote Emma", "who wrote Emma"),
        ("What is the capital of Chad", "what the capital of Chad is"),
        ("What can Bo Lund do", "what Bo Lund can do"),
        ("What did Bo Lund zorp", None),  # nobody knows the past of that
        ("How does the tallest tower in Varn stand", None),  # where its name ends is not clear
    ],
)
def test_questions_become_clauses_where_rules_can_and_nothing_where_they_cannot(question, clause):
    assert as_clause(question, None) == clause


def test_wordings_of_the_relation_come_before_rules_and_none_comes_twice():
    given = {"subject": "Bo", "relation": "birth place", "paraphrases": ("P?",)}
    fact = Fact("Where was Bo born?", "Ulm", **given)
    made = [text.replace("Bo", "{s}") for text in wrote("paraphrase", None, 3, [fact])]
    assert made == list(wordings_of("birthPlace"))[1:4]
    again = wrote("paraphrase", None, 30, [fact], earlier=["In which place was Bo born?"])
    assert "In which place was Bo born?" not in again
    assert "P?" not in again


def test_no_wording_tells_the_answer():
    fact = Fact("Who leads Varn?", "Ida", subject="Varn", paraphrases=("Does Ida lead Varn?", "B?"))
    assert "Does Ida lead Varn?" not in wordings(fact, 50)


@pytest.mark.parametrize(("passage", "facts"), WORLD[:20])
def test_an_exam_joins_facts_and_never_names_what_it_asks_for(passage, facts):
    for level in LEVELS:
        for item in wrote("exam", passage, 6, facts, level=level):
            assert item.level == level
            assert not matches(item.question, (item.answer,))
            if level == "inference":
                assert not matches(item.question, (facts[0].subject,))
                assert item.answer in [fact.answer for fact in facts]


def test_an_exam_has_fewer_questions_where_rules_cannot_make_them():
    passage = Passage("Varn is a town in Estmark. It lies on a river.")
    assert [len(wrote("exam", passage, 3, level=level)) for level in LEVELS][2] == 0
    (item,) = wrote("exam", passage, 3, level="comprehension")
    assert (item.question, item.answer) == ("What is Varn?", "a town in Estmark")


def test_further_questions_keep_to_the_sentences_told_and_repeat_none():
    text = "Varn was founded in 1822. Ulm was founded in 1750. Bremen was founded in 1165."
    passage = Passage(text)
    first = wrote("qa", passage, 1)[0].question
    told = wrote("qa_more", passage, 5, sentences=["Ulm was founded in 1750."], earlier=[first])
    assert told
    assert {item.evidence for item in told} == {"Ulm was founded in 1750."}


def test_a_pair_is_discussed_in_the_sentences_that_hold_both_and_else_in_those_of_each():
    passage = Passage("Ida met Bo. Ida left. Bo stayed. Ulm is far.")
    assert wrote("pair", passage, 1, first="Ida", second="Bo") == "Ida met Bo."
    told = wrote("pair", passage, 1, first="Ida", second="Ulm")
    assert told == "Ida met Bo. Ida left. Ulm is far."
    assert wrote("pair", passage, 1, first="Eve", second="Tim") == ""


def test_entities_are_names_and_numbers_and_no_words_that_open_sentences():
    text = "The bridge of Varn opened in 1822. However, Ida Voss saw Varn. Down it fell. NASA came."
    assert wrote("entities", Passage(text), 9) == ("Varn", "1822", "Ida Voss", "NASA")


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_every_form_works_with_the_rules_and_gives_the_same_twice(form):
    def items() -> list[Any]:
        job = Stand([WORLD[1][0], WORLD[4][0]], 3, per_document=form.per == "document")
        job.facts = lambda passage: WORLD[1 if passage is WORLD[1][0] else 4][1]
        drive(form, job)
        return job.all

    assert items()
    assert items() == items()


def drive(form: Any, job: Stand) -> None:
    prompts, talk = Prompts(), form.write(job)
    answers: list[Any] | None = None
    while True:
        try:
            turn = talk.send(answers)
        except StopIteration:
            return
        how = {"temperature": 0.0, "seed": 1, "max_tokens": 9}
        requests = [prompts.request(ask, job.facts(ask.passage), **how) for ask in turn]
        answers = []
        for ask, reply in zip(turn, replies(requests), strict=True):
            shape = prompts.shape(ask.prompt)
            found = reply.text if shape is None else json.loads(reply.text)["items"]
            answers.append((shape.model_validate(found) if shape else found) if found else None)


def test_hostile_text_is_no_trouble():
    long = ["x" * 100_000, "A " * 30_000, "(" * 20_000, "In 1999, " * 9_000, "(a 1999" * 9_000]
    for text in ["", "   ", "\u0000. {n}.", *long]:
        for prompt in ("qa", "summary", "rewrite", "atomic", "entities", "exam", "deep_context"):
            wrote(prompt, Passage(text), 3)


def test_a_prompt_that_the_rules_do_not_know_is_a_failed_reply_in_one_line():
    (reply,) = replies([asked("sonnet", WORLD[0][0], 1)])
    assert reply.failed is not None
    assert reply.failed.startswith("the rules cannot answer 'sonnet'; they know: atomic, ")


def test_the_packaged_facts_of_a_file_are_reworded_too(tmp_path):
    (tmp_path / "f.jsonl").write_text('{"question": "Who wrote Emma?", "answer": "Jane Austen"}\n')
    (fact,) = load(tmp_path / "f.jsonl")
    assert "Tell me who wrote Emma." in wrote("paraphrase", None, 10, [fact])
