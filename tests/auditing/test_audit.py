"""An audit counts what changed, trained facts apart, and resumes where it stopped."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lorepack.auditing import AuditResult, AuditSettings, Domains, audit
from lorepack.auditing.stored import greedy
from lorepack.errors import InputError, MismatchError, NotFoundError
from lorepack.facts import Fact
from lorepack.files import read_json
from lorepack.probing import ProbeResult, ProbeSettings, probe
from lorepack.reports.audit_file import parse
from probing.scripted import Asked, Killed, ScriptedModel, files_of, killer, knows, some_facts

from .test_drift import logprobs

HOW = ProbeSettings(prompts=4, shots=2, samples=1, chunk=8)
NEUTRAL = ["A quiet morning by the river.", "Nothing else happened."]


def before_of(model: ScriptedModel, facts: list[Fact], out: Path, how=HOW) -> ProbeResult:
    return probe(model, facts, out, how, generate=model.generate)


def audit_of(model, facts, before, trained, out, **more) -> AuditResult:
    options = {"adapter_tag": "a" * 64, "neutral": NEUTRAL, **more}
    return audit(
        model, model.adapter_on, facts, before, trained, out=out,
        generate=model.generate, logprobs=logprobs, **options,
    )  # fmt: skip


def story(facts: list[Fact]) -> ScriptedModel:
    """Knows fact 0 well and 1 in two prompts of four, refuses 2, does not know the rest.

    The adapter teaches 3 and 4, loses 0, half loses 1, and answers 2 wrongly.
    """
    place = {fact.question: i for i, fact in enumerate(facts)}
    place |= {f"Tell me of {i}": i for i in range(len(facts))}

    def say(asked: Asked) -> str:
        i, prompt = place[asked.question], int(asked.key.split()[1])
        right, wrong = f"Answer: {facts[i].answer}", "Answer: Nowhere"
        if asked.sample is not None:
            return wrong
        if not asked.adapted:
            knows = {0: True, 1: prompt < 2}.get(i, False)
            return right if knows else "I don't know." if i == 2 else wrong
        if asked.question.startswith("Tell"):
            return right if prompt < 3 and i == 3 else wrong
        return right if {1: prompt < 1, 3: True, 4: prompt > 0}.get(i, False) else wrong

    return ScriptedModel(say)


@pytest.fixture
def told(tmp_path: Path) -> AuditResult:
    facts = some_facts(8, relations=2)
    model = story(facts)
    before = before_of(model, facts, tmp_path / "before")
    heldout = {"id0003": ["Tell me of 3"], "id0004": ["Tell me of 4"], "id0005": ["Tell me of 5"]}
    return audit_of(model, facts, before, {"id0003", "id0004"}, tmp_path / "audit", heldout=heldout)


def test_every_figure_of_a_case_by_hand(told: AuditResult) -> None:
    assert told.facts == 8
    assert told.categories == {"HighlyKnown": 1, "MaybeKnown": 1, "WeaklyKnown": 0, "Unknown": 6}
    assert told.categories_after == {
        "HighlyKnown": 1, "MaybeKnown": 2, "WeaklyKnown": 0, "Unknown": 5,
    }  # fmt: skip
    assert list(told.categories) == ["HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown"]
    assert (told.trained, told.unknown_trained) == (2, 2)
    assert told.reliability == 7 / 8
    assert told.generality == 3 / 8
    assert told.positive_shift == 2 / 8
    assert told.negative_shift == 1 / 8
    assert told.spillover_positive == 0
    assert told.spillover_negative == 1 / 6
    assert (told.refusals_before, told.refusals_after) == (4, 0)
    found = told.document
    assert found["reliability"]["all"] == 0.5
    assert found["reliability"]["any"] == 1.0
    assert found["generality"]["facts"] == found["generality"]["wordings"] == 2
    assert found["refusals"]["answers"] == 32
    assert (found["refusals"]["facts_before"], found["refusals"]["facts_after"]) == (1, 0)
    assert found["transitions"]["trained"] == [[0] * 4, [0] * 4, [0] * 4, [1, 1, 0, 0]]
    assert found["transitions"]["untrained"] == [
        [0, 0, 0, 1], [0, 1, 0, 0], [0] * 4, [0, 0, 0, 4],
    ]  # fmt: skip
    assert found["shifts"]["trained"]["positive"] == {
        "count": 2, "of_all": 1.0, "of_movable": 1.0, "low": 1.0, "high": 1.0,
    }  # fmt: skip
    fell = found["shifts"]["all"]["negative"]
    assert 0 <= fell["low"] < fell["of_all"] < fell["high"] < 1
    assert found["causes"]["negative"]["shifts"] == 1
    assert found["by_relation"]["r1"]["trained"] == 1  # fact 3
    assert found["by_relation"]["r1"]["reliability"] == 1.0
    assert sum(row["negative"] for row in found["by_frequency"]) == 1
    assert found["shifts"]["all"]["negative"]["of_movable"] == 1 / 2
    assert found["by_relation"]["r0"]["facts"] == 4
    assert found["by_relation"]["r0"]["before"]["HighlyKnown"] == 1
    assert told.neutral_kl is not None
    assert told.neutral_kl > 0


def test_losses_are_untrained_facts_with_their_answers(told: AuditResult) -> None:
    assert told.document["losses"] == [
        {
            "id": "id0000",
            "question": "Where is place number 0?",
            "answer": "Town0",
            "before": "HighlyKnown",
            "after": "Unknown",
            "answer_before": "Town0",
            "answer_after": "Nowhere",
        }
    ]


def test_a_rehearsed_fact_that_falls_is_a_loss_but_no_spill_over(tmp_path: Path) -> None:
    facts = some_facts(8, relations=2)
    model = story(facts)
    before = before_of(model, facts, tmp_path / "before")
    found = audit_of(
        model, facts, before, {"id0003", "id0004"}, tmp_path / "audit", rehearsed={"id0000"}
    ).document
    assert [(loss["id"], loss["after"]) for loss in found["losses"]] == [("id0000", "Unknown")]
    assert found["shifts"]["rehearsed"]["negative"]["count"] == 1
    assert found["shifts"]["untrained"]["negative"]["count"] == 0
    read = parse(found)
    assert (read.trained, read.rehearsed, read.others, read.fallen) == (2, 1, 5, 1)


def test_matrices_of_trained_and_untrained_add_up(told: AuditResult) -> None:
    matrices = told.document["transitions"]
    for i in range(4):
        for j in range(4):
            parts = matrices["trained"][i][j] + matrices["untrained"][i][j]
            assert matrices["all"][i][j] == parts


def test_a_report_can_read_it(told: AuditResult) -> None:
    assert parse(told.document).trained_unknown == 2


def test_the_folder_is_what_the_contract_says(told: AuditResult) -> None:
    names = {p.name for p in told.out.iterdir() if not p.name.startswith(".")}
    assert names == {
        "audit.json", "categories.parquet", "answers.parquet", "generality.parquet",
        "probe.json", "prompts.json", "timing.json", "manifest.json", "causes.parquet",
    }  # fmt: skip
    assert told.after.counts == told.categories_after
    rows = pq.read_table(told.out / "generality.parquet").to_pylist()
    assert [(r["id"], r["wording"], r["k_greedy"], r["n_greedy"]) for r in rows] == [
        ("id0003", "Tell me of 3", 3, 4),
        ("id0004", "Tell me of 4", 0, 4),
    ]
    loaded = AuditResult.load(told.out)
    assert loaded.to_json() == told.to_json()
    assert "0.875" in loaded._repr_html_()
    with pytest.raises(NotFoundError):
        AuditResult.load(told.out / "nowhere")


def test_after_is_asked_as_before_was(tmp_path: Path) -> None:
    facts = some_facts(20)
    model = ScriptedModel(knows(facts))
    before = before_of(model, facts, tmp_path / "before")
    was, model.asked = {(a.question, a.turns, a.sample, a.key) for a in model.asked}, []
    audit_of(model, facts, before, set(), tmp_path / "audit")
    assert {(a.question, a.turns, a.sample, a.key) for a in model.asked} == was
    assert all(asked.adapted for asked in model.asked)
    assert not model.adapted


def test_a_wording_is_not_asked_behind_its_own_fact(tmp_path: Path) -> None:
    facts = some_facts(10)  # fewer than prompts × shots + spares: all of them are exemplars
    wording = {fact.id: [f"Other {fact.question}"] for fact in facts}
    by_wording = {f"Other {fact.question}": fact.question for fact in facts}
    model = ScriptedModel(lambda asked: "Answer: x")
    how = HOW.override({"prompts": 10})
    before = before_of(model, facts, tmp_path / "before", how)
    audit_of(model, facts, before, {f.id for f in facts}, tmp_path / "audit", heldout=wording)
    other = [asked for asked in model.asked if asked.question in by_wording]
    assert len(other) == 100
    assert all(by_wording[asked.question] not in dict(asked.turns) for asked in other)


def test_wordings_that_say_the_same_are_asked_once(tmp_path: Path) -> None:
    facts = some_facts(3)
    model = ScriptedModel(lambda asked: "Answer: x")
    before = before_of(model, facts, tmp_path / "before")
    heldout = {"id0000": [facts[0].question, "New  one", "new one"], "id0001": ["Not trained"]}
    found = audit_of(
        model, facts, before, {"id0000"}, tmp_path / "audit", heldout=heldout
    ).document["generality"]
    assert (found["facts"], found["wordings"]) == (1, 1)


def test_nothing_trained_is_nothing_measured(tmp_path: Path) -> None:
    facts = some_facts(6)
    model = ScriptedModel(knows(facts))
    before = before_of(model, facts, tmp_path / "before")
    result = audit_of(model, facts, before, set(), tmp_path / "audit", neutral=None)
    assert (result.reliability, result.generality, result.neutral_kl) == (None, None, None)
    assert result.document["reliability"] is None
    assert any("reliability is not measured" in note for note in result.notes)
    assert result.spillover_negative == result.negative_shift
    parse(result.document)


def test_everything_trained_has_no_spill_over(tmp_path: Path) -> None:
    facts = some_facts(6)
    model = ScriptedModel(knows(facts))
    before = before_of(model, facts, tmp_path / "before")
    result = audit_of(model, facts, before, {f.id for f in facts}, tmp_path / "audit")
    assert (result.spillover_positive, result.spillover_negative) == (None, None)
    assert result.document["losses"] == []


def test_the_worst_losses_come_first(tmp_path: Path) -> None:
    facts = some_facts(60)
    place = {fact.question: i for i, fact in enumerate(facts)}

    def say(asked: Asked) -> str:
        i, prompt = place[asked.question], int(asked.key.split()[1])
        if asked.sample is not None:
            return "Answer: Nowhere"
        known = prompt < (1 + i % 4 if not asked.adapted else i % 2)
        return f"Answer: {facts[i].answer}" if known else "Answer: Nowhere"

    model = ScriptedModel(say)
    before = before_of(model, facts, tmp_path / "before")
    result = audit_of(model, facts, before, {"id0002"}, tmp_path / "audit")
    losses = result.document["losses"]
    # i % 4 = 0: 1 -> 0; 1: 2 -> 1 stays MaybeKnown; 2: 3 -> 0; 3: 4 -> 1, HighlyKnown to Maybe.
    kinds = [(row["before"], row["after"]) for row in losses]
    fell = [i for i in range(60) if i % 4 != 1 and i != 2]
    assert len(losses) == len(fell) == 44
    first = [("MaybeKnown", "Unknown")] * 29
    assert kinds == first + [("HighlyKnown", "MaybeKnown")] * 15
    assert [int(row["id"][2:]) % 4 for row in losses[:29]] == [2] * 14 + [0] * 15


def test_a_second_call_asks_nothing(tmp_path: Path) -> None:
    facts = some_facts(20)
    model = ScriptedModel(knows(facts))
    before = before_of(model, facts, tmp_path / "before")
    first = audit_of(model, facts, before, {"id0001"}, tmp_path / "audit")
    bytes_then, calls = files_of(first.out), len(model.calls)
    audit_of(model, facts, before, {"id0001"}, tmp_path / "audit")
    assert len(model.calls) == calls
    assert files_of(first.out) == bytes_then


@pytest.mark.parametrize("at", range(4))
def test_a_killed_audit_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, at: int) -> None:
    facts = some_facts(20)  # a call for each of 3 chunks, then one for the wordings
    more = {"heldout": {"id0001": ["Where is place number 1, please?"]}}
    answers = knows([*facts, Fact("Where is place number 1, please?", "Town1")])
    model = ScriptedModel(answers)
    before = before_of(model, facts, tmp_path / "before")
    audit_of(model, facts, before, {"id0001"}, tmp_path / "whole", **more)
    cut = ScriptedModel(answers, before_call=killer(at))
    with pytest.raises(Killed):
        audit_of(cut, facts, before, {"id0001"}, tmp_path / "cut", **more)
    again = ScriptedModel(answers)
    audit_of(again, facts, before, {"id0001"}, tmp_path / "cut", **more)
    assert len(again.calls) == 4 - at
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_a_kill_between_the_last_files_loses_no_answers_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    facts = some_facts(20)
    model = ScriptedModel(knows(facts))
    before = before_of(model, facts, tmp_path / "before")
    whole = audit_of(model, facts, before, {"id0001"}, tmp_path / "whole")

    room = sys.modules["lorepack.auditing.audit"]
    right, calls = room._take_over, iter(range(taken))

    def stop(source: Path, target: Path) -> None:
        if next(calls, None) is None:
            raise Killed
        right(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(room, "_take_over", stop)
        with pytest.raises(Killed):
            audit_of(model, facts, before, {"id0001"}, tmp_path / "cut")
    again = ScriptedModel(knows(facts))
    audit_of(again, facts, before, {"id0001"}, tmp_path / "cut")
    assert again.calls == []
    assert files_of(tmp_path / "cut") == files_of(whole.out)
    assert not list((tmp_path / "cut").glob(".*.partial"))


def test_an_audit_of_another_adapter_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    facts = some_facts(6)
    model = ScriptedModel(knows(facts))
    before = before_of(model, facts, tmp_path / "before")
    audit_of(model, facts, before, set(), tmp_path / "audit")
    with pytest.raises(MismatchError, match="another adapter"):
        audit_of(model, facts, before, set(), tmp_path / "audit", adapter_tag="b")
    audit_of(model, facts, before, set(), tmp_path / "audit", adapter_tag="b", overwrite=True)
    assert read_json(tmp_path / "audit" / "probe.json")["inputs"]["adapter"] == "b"


def test_answers_left_by_an_unfinished_audit_of_another_adapter_are_not_used(
    tmp_path: Path,
) -> None:
    facts = some_facts(20)
    model = ScriptedModel(knows(facts))
    before = before_of(model, facts, tmp_path / "before")
    cut = ScriptedModel(knows(facts), before_call=killer(2))
    with pytest.raises(Killed):
        audit_of(cut, facts, before, set(), tmp_path / "audit", adapter_tag="b")
    again = ScriptedModel(knows(facts))
    audit_of(again, facts, before, set(), tmp_path / "audit")
    assert len(again.calls) == 3, "all chunks, although two of the other adapter's are there"


def test_some_of_the_probed_facts_in_any_order(tmp_path: Path) -> None:
    facts = some_facts(20)
    model = ScriptedModel(knows(facts))
    before = before_of(model, facts, tmp_path / "before")
    part = [facts[i] for i in (17, 3, 9, 4)]
    trained = {"id0003", "id0011"}
    result = audit_of(model, part, before, trained, tmp_path / "audit")
    assert (result.facts, result.trained) == (4, 1)
    assert any("1 trained facts are not among" in note for note in result.notes)
    expected = [before.category_of(fact.id) for fact in part]
    assert result.categories == {name: expected.count(name) for name in result.categories}
    whole = audit_of(model, facts, before, trained, tmp_path / "all").after
    assert [result.after.category_of(f.id) for f in part] == [whole.category_of(f.id) for f in part]


def test_a_stack_is_switched_on_and_off(tmp_path: Path) -> None:
    from contextlib import contextmanager

    facts = some_facts(6)
    model = ScriptedModel(knows(facts))
    before = before_of(model, facts, tmp_path / "before")

    class Stack:
        @contextmanager
        def attached(self):
            yield self

        def use(self, which: int | None) -> None:
            model.adapted = which == 0

    model.asked = []
    audit(model, Stack(), facts, before, set(), out=tmp_path / "audit", adapter_tag="a",
          generate=model.generate)  # fmt: skip
    assert model.asked
    assert all(asked.adapted for asked in model.asked)
    assert not model.adapted


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"facts": []}, InputError, "no facts"),
        ({"model": {"fingerprint": "e" * 64}}, MismatchError, "another model"),
        ({"settings": HOW.override({"seed": 9})}, MismatchError, "other settings"),
        ({"facts": [*some_facts(6), Fact("New?", "x")]}, MismatchError, "not probed before"),
        (
            {"facts": [Fact(f.question, "Changed", id=f.id) for f in some_facts(6)]},
            MismatchError,
            "facts have changed",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused(
    tmp_path: Path, change: dict, error: type[Exception], message: str
) -> None:
    facts = some_facts(6)
    model = ScriptedModel(knows(facts))
    before = before_of(model, facts, tmp_path / "before")
    asked = ScriptedModel(knows(facts), **change.get("model", {}))
    more = {"settings": change["settings"]} if "settings" in change else {}
    with pytest.raises(error, match=message):
        audit_of(asked, change.get("facts", facts), before, set(), tmp_path / "audit", **more)
    assert asked.calls == []


def test_causes_are_a_table_in_a_notebook(told: AuditResult) -> None:
    assert [row["id"] for row in told.shifted()] == ["id0000"]
    assert told.shifted("unexplained") == told.shifted("subject") == []
    rows = told.causes.rows
    assert {row["direction"] for row in rows} == {"positive", "negative"}
    assert {row["count"] for row in rows if row["direction"] == "positive"} == {0}
    relation = next(r for r in rows if (r["direction"], r["cause"]) == ("negative", "relation"))
    assert relation["share"] == relation["chance"] == 1.0  # 3 and 4 are of both relations
    assert told.shifted("relation") == told.shifted()
    assert "1 negative shifts" in told.causes._repr_html_()
    with pytest.raises(InputError, match="did you mean relation"):
        told.shifted("relations")


def test_counting_otherwise_asks_nothing_again(tmp_path: Path) -> None:
    facts = some_facts(20)
    model = ScriptedModel(knows(facts))
    before = before_of(model, facts, tmp_path / "before")
    first = audit_of(model, facts, before, {"id0001"}, tmp_path / "audit")
    assert (first.document["causes"]["domains"], "paper" in first.document) == ("none", False)
    then, calls = files_of(first.out), len(model.calls)
    told = AuditSettings(domains=Domains("map", {"r1": "Place"}), paper=True)
    found = audit_of(model, facts, before, {"id0001"}, tmp_path / "audit", options=told)
    assert len(model.calls) == calls
    assert found.document["causes"]["domains"] == "map"
    assert found.document["paper"]["facts"] == 20
    assert found.document["transitions"] == first.document["transitions"]
    # Back to the first: the same bytes, and as if audited so from the start.
    audit_of(model, facts, before, {"id0001"}, tmp_path / "audit")
    assert files_of(first.out) == then
    fresh = audit_of(model, facts, before, {"id0001"}, tmp_path / "fresh", options=told)
    again = audit_of(model, facts, before, {"id0001"}, tmp_path / "audit", options=told)
    assert files_of(again.out) == files_of(fresh.out)
    assert again.after.seconds is not None


def test_what_facts_say_of_themselves_decides_the_audit(tmp_path: Path) -> None:
    facts = some_facts(20)
    model = ScriptedModel(knows(facts))
    before = before_of(model, facts, tmp_path / "before")
    audit_of(model, facts, before, {"id0001"}, tmp_path / "audit")
    about = [replace(fact, domain="Place") for fact in facts]
    found = audit_of(model, about, before, {"id0001"}, tmp_path / "audit")
    assert found.document["causes"]["domains"] == "facts"


def test_a_map_of_other_relations_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    facts = some_facts(6)
    model = ScriptedModel(knows(facts))
    before = before_of(model, facts, tmp_path / "before")
    calls, told = len(model.calls), AuditSettings(domains=Domains("map", {"birthPlace": "Person"}))
    with pytest.raises(InputError, match="none of the facts'"):
        audit_of(model, facts, before, set(), tmp_path / "audit", options=told)
    assert len(model.calls) == calls


@pytest.mark.parametrize("name", ["audit.json", "causes.parquet", "answers.parquet"])
def test_a_result_cut_in_half_names_the_stage_to_run_again(tmp_path: Path, name: str) -> None:
    facts = some_facts(20)
    model = ScriptedModel(knows(facts))
    before = before_of(model, facts, tmp_path / "before")
    whole = audit_of(model, facts, before, {"id0001"}, tmp_path / "audit")
    then = files_of(whole.out)
    path = tmp_path / "audit" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    reads = {
        "audit.json": lambda: AuditResult.load(whole.out),
        "causes.parquet": whole.shifted,
        "answers.parquet": lambda: list(greedy(whole.out, "lorepack audit")),
    }
    with pytest.raises(InputError, match="run `lorepack audit` again") as caught:
        reads[name]()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    audit_of(model, facts, before, {"id0001"}, tmp_path / "audit")
    assert files_of(whole.out) == then


def test_answers_before_cut_in_half_name_the_probe(tmp_path: Path) -> None:
    facts = some_facts(20)
    model = ScriptedModel(knows(facts))
    before = before_of(model, facts, tmp_path / "before")
    path = before.out / "answers.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    calls = len(model.calls)
    with pytest.raises(InputError, match="run `lorepack probe` again"):
        audit_of(model, facts, before, set(), tmp_path / "audit")
    assert len(model.calls) == calls  # told before hours of asking, not after
