"""A probe writes what it says, resumes where it stopped, and labels without asking again."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorepack.errors import InputError, MismatchError, NotFoundError, WriteError
from lorepack.facts import Fact
from lorepack.probing import ProbeResult, ProbeSettings, ask, label, probe
from lorepack.text import matches
from probing.scripted import (
    Asked,
    Killed,
    ScriptedModel,
    files_of,
    killer,
    knows,
    some_facts,
)

SMALL = ProbeSettings(prompts=4, shots=2, samples=3, chunk=8)


def run(model: ScriptedModel, facts: list[Fact], out: Path, how: ProbeSettings = SMALL, **more):
    return probe(model, facts, out, how, generate=model.generate, **more)


def test_counts_are_those_of_the_definition(tmp_path: Path) -> None:
    facts = some_facts(5)
    greedy_right = {"id0000": 4, "id0001": 1, "id0002": 0, "id0003": 0, "id0004": 0}
    sampled_right = {"id0002": {("1", 2)}}  # prompt, sample
    by_question = {fact.question: fact for fact in facts}

    def say(asked: Asked) -> str:
        fact, prompt = by_question[asked.question], asked.key.split()[1]
        if asked.sample is None:
            right = int(prompt) < greedy_right[fact.id]
        else:
            right = (prompt, asked.sample) in sampled_right.get(fact.id, set())
        wrong = "I don't know" if fact.id == "id0004" else "Answer: Nowhere"
        return f"Answer: {fact.aliases[0]}" if right else wrong

    result = run(ScriptedModel(say), facts, tmp_path)
    assert result.counts == {"HighlyKnown": 1, "MaybeKnown": 1, "WeaklyKnown": 1, "Unknown": 2}
    assert result.tally.k_greedy.tolist() == [4, 1, 0, 0, 0]
    assert result.tally.k_sampled.tolist() == [0, 0, 1, 0, 0]
    assert (result.tally.n_greedy == 4).all()
    assert (result.tally.n_sampled == 12).all()
    assert result.refused.tolist() == [0, 0, 0, 0, 4]
    assert (result.refusals, result.refusing_facts) == (4, 1)
    assert result.category_of("id0002") == "WeaklyKnown"
    assert result.ids_in("Unknown") == ["id0003", "id0004"]
    with pytest.raises(NotFoundError):
        result.category_of("id9999")


def test_the_folder_is_what_the_contract_says(tmp_path: Path) -> None:
    facts = some_facts(20)
    run(ScriptedModel(knows(facts)), facts, tmp_path)
    names = {p.name for p in tmp_path.iterdir() if not p.name.startswith(".")}
    assert names == {
        "probe.json", "categories.parquet", "answers.parquet", "prompts.json", "timing.json",
        "manifest.json",
    }  # fmt: skip
    labels = pq.read_table(tmp_path / "categories.parquet")
    assert labels.column_names == [
        "id", "category", "k_greedy", "n_greedy", "k_sampled", "n_sampled", "refused",
    ]  # fmt: skip
    answers = pq.read_table(tmp_path / "answers.parquet")
    assert answers.column_names == ["id", "greedy", "sampled"]
    assert answers["id"].to_pylist() == labels["id"].to_pylist() == [f.id for f in facts]
    row = answers.slice(3, 1).to_pylist()[0]
    assert len(row["greedy"]) == 4
    assert [len(texts) for texts in row["sampled"]] == [3, 3, 3, 3]


def test_all_questions_of_a_chunk_go_to_the_engine_together(tmp_path: Path) -> None:
    facts = some_facts(20)
    model = ScriptedModel(knows(facts))
    run(model, facts, tmp_path)
    assert [len(call["prompts"]) for call in model.calls] == [32, 32, 16]
    assert all(call["samples"] == 3 and call["greedy"] for call in model.calls)
    assert all((call["temperature"], call["top_k"]) == (0.5, 40) for call in model.calls)


def test_without_samples_nothing_is_sampled(tmp_path: Path) -> None:
    facts = some_facts(6)
    model = ScriptedModel(knows(facts))
    result = run(model, facts, tmp_path, SMALL.override({"samples": 0}))
    assert all(asked.sample is None for asked in model.asked)
    assert result.tally.n_sampled.sum() == 0
    assert result.counts["WeaklyKnown"] == 0


def test_a_second_call_asks_nothing(tmp_path: Path) -> None:
    facts = some_facts(20)
    model = ScriptedModel(knows(facts))
    first = run(model, facts, tmp_path)
    before, calls = files_of(tmp_path), len(model.calls)
    shutil.copytree(tmp_path, tmp_path / "chunks")  # left by a kill between manifest and cleaning
    second = run(model, facts, tmp_path)
    assert len(model.calls) == calls
    assert files_of(tmp_path) == before
    assert (second.codes == first.codes).all()


@pytest.mark.parametrize("chunk", [1, 3, 8, 100])
def test_results_do_not_depend_on_the_chunks(tmp_path: Path, chunk: int) -> None:
    facts = some_facts(23)
    run(ScriptedModel(knows(facts)), facts, tmp_path / "whole", SMALL.override({"chunk": 23}))
    run(ScriptedModel(knows(facts)), facts, tmp_path / "cut", SMALL.override({"chunk": chunk}))
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def test_row_groups_do_not_depend_on_the_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lorepack.probing.store.ROWS", 5)
    facts = some_facts(23)
    for chunk in (2, 7, 23):
        how = SMALL.override({"chunk": chunk})
        run(ScriptedModel(knows(facts)), facts, tmp_path / str(chunk), how)
    assert files_of(tmp_path / "2") == files_of(tmp_path / "7") == files_of(tmp_path / "23")
    assert pq.ParquetFile(tmp_path / "2" / "answers.parquet").num_row_groups == 5


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_killed_probe_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, at: int) -> None:
    facts = some_facts(20)  # 3 chunks of one call
    run(ScriptedModel(knows(facts)), facts, tmp_path / "whole")
    with pytest.raises(Killed):
        run(ScriptedModel(knows(facts), before_call=killer(at)), facts, tmp_path / "cut")
    assert not (tmp_path / "cut" / "manifest.json").exists()
    again = ScriptedModel(knows(facts))
    result = run(again, facts, tmp_path / "cut")
    assert len(again.calls) == 3 - at, "only the chunk at work is asked again"
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")
    assert result.facts == 20


def test_chunks_of_other_inputs_are_not_used(tmp_path: Path) -> None:
    facts = some_facts(20)
    with pytest.raises(Killed):
        run(ScriptedModel(knows(facts), before_call=killer(1)), facts, tmp_path)
    other = ScriptedModel(knows(facts), fingerprint="e" * 64)
    run(other, facts, tmp_path)
    assert len(other.calls) == 3


def test_a_broken_chunk_is_asked_again(tmp_path: Path) -> None:
    facts = some_facts(20)
    run(ScriptedModel(knows(facts)), facts, tmp_path / "whole")
    with pytest.raises(Killed):
        run(ScriptedModel(knows(facts), before_call=killer(2)), facts, tmp_path / "cut")
    chunk = tmp_path / "cut" / "chunks" / "000000.parquet"
    chunk.write_bytes(chunk.read_bytes()[:100])
    again = ScriptedModel(knows(facts))
    run(again, facts, tmp_path / "cut")
    assert len(again.calls) == 2
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


_SLOW = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from probing.scripted import ScriptedModel, knows, some_facts
from lorepack.probing import ProbeSettings, probe
facts = some_facts(20)
model = ScriptedModel(knows(facts), before_call=lambda n: time.sleep(0.05))
settings = ProbeSettings(prompts=4, shots=2, samples=3, chunk=8)
probe(model, facts, Path({out!r}), settings, generate=model.generate)
"""


def test_sigkill_costs_one_chunk_at_most(tmp_path: Path) -> None:
    facts = some_facts(20)
    run(ScriptedModel(knows(facts)), facts, tmp_path / "whole")
    script = _SLOW.format(tests=str(Path(__file__).parents[1]), out=str(tmp_path / "cut"))
    child = subprocess.Popen([sys.executable, "-c", script])
    first = tmp_path / "cut" / "chunks" / "000000.parquet"
    for _ in range(3000):
        if first.exists():
            break
        assert child.poll() is None
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    again = ScriptedModel(knows(facts))
    run(again, facts, tmp_path / "cut")
    assert len(again.calls) <= 8
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def test_another_probe_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    facts = some_facts(20)
    run(ScriptedModel(knows(facts)), facts, tmp_path)
    with pytest.raises(MismatchError, match=r"seed \(0 there, 1 asked\)"):
        run(ScriptedModel(knows(facts)), facts, tmp_path, SMALL.override({"seed": 1}))
    with pytest.raises(MismatchError, match="adapter"):
        run(ScriptedModel(knows(facts)), facts, tmp_path, adapter_tag="x")
    with pytest.raises(MismatchError, match="facts"):
        run(ScriptedModel(knows(facts)), facts[:9], tmp_path)
    assert run(ScriptedModel(knows(facts)), facts[:9], tmp_path, overwrite=True).facts == 9


def test_a_damaged_folder_is_made_again(tmp_path: Path) -> None:
    facts = some_facts(20)
    run(ScriptedModel(knows(facts)), facts, tmp_path)
    whole = files_of(tmp_path)
    table = tmp_path / "answers.parquet"
    table.write_bytes(table.read_bytes()[:-10])
    run(ScriptedModel(knows(facts)), facts, tmp_path)
    assert files_of(tmp_path) == whole


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    facts = some_facts(3)

    def inside(number: int) -> None:
        if number == 0:
            with pytest.raises(MismatchError, match="another lorepack"):
                run(ScriptedModel(knows(facts)), facts, tmp_path)

    run(ScriptedModel(knows(facts), before_call=inside), facts, tmp_path)


def test_a_full_disk_is_one_clear_line_and_keeps_finished_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = some_facts(20)
    replace, done = os.replace, []

    def full(source, target):
        if str(target).endswith(".parquet") and len(done) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        done.append(target)
        replace(source, target)

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(WriteError, match="No space left"):
        run(ScriptedModel(knows(facts)), facts, tmp_path)
    monkeypatch.undo()
    again = ScriptedModel(knows(facts))
    run(again, facts, tmp_path)
    assert len(again.calls) == 2


def test_bad_facts_are_refused(tmp_path: Path) -> None:
    facts = some_facts(3)
    with pytest.raises(InputError, match="no facts"):
        run(ScriptedModel(knows(facts)), [], tmp_path)
    with pytest.raises(InputError, match="id0001 given twice"):
        run(ScriptedModel(knows(facts)), [*facts, facts[1]], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_counts_as_wrong_and_is_named(tmp_path: Path) -> None:
    long = Fact("Where is " + "very " * 200 + "far?", "Here", aliases=("",), id="long")
    facts = [*some_facts(6), long]
    model = ScriptedModel(knows(facts, share=1.0), context=800)
    how = ProbeSettings(prompts=2, shots=2, samples=1, rule="substring")
    result = run(model, facts, tmp_path, how, pool=some_facts(6))
    assert result.document["overlong"] == {
        "facts": 1, "questions": 2, "prompts_by_id": {"long": 2},
    }  # fmt: skip
    # An empty alias is in every text under this rule, but there is no text.
    assert result.category_of("long") == "Unknown"
    assert result.counts["HighlyKnown"] == 6
    assert "2 of 14 questions did not fit" in result.notes[-1]
    assert [part.greedy[6] for part in result.answers()] == [[None, None]]


def test_the_answer_must_fit_the_context_too(tmp_path: Path) -> None:
    facts = some_facts(3)
    how = ProbeSettings(prompts=1, shots=0, samples=0, max_new_tokens=10)
    model = ScriptedModel(knows(facts))
    longest = max(
        len(model.chat.prompt_ids(f"Question: {f.question}", (), how.system)) for f in facts
    )
    for context, left_out in ((longest + 10, 0), (longest + 9, 3)):
        model.context = context
        result = run(model, facts, tmp_path / str(context), how)
        assert result.document["overlong"]["questions"] == left_out


def test_no_fact_is_asked_behind_its_own_answer(tmp_path: Path) -> None:
    facts = some_facts(20)
    model = ScriptedModel(knows(facts))
    run(model, facts, tmp_path)
    assert all(asked.question not in dict(asked.turns) for asked in model.asked)
    assert all(len(asked.turns) == 2 for asked in model.asked)
    assert {asked.system for asked in model.asked} == {"Answer the following question."}


def test_paper_matches_raw_lower_case_substrings_and_keeps_the_empty_alias_hazard(
    tmp_path: Path,
) -> None:
    facts = [
        Fact("A?", "Art", id="inside"),  # "art" is inside "Stuttgart"
        Fact("B?", "Fiji", aliases=("",), id="empty"),  # an empty alias matches everything
        Fact("C?", "Saint-Malo", id="punctuation"),
    ]
    say = {"A?": "Answer: Stuttgart", "B?": "Answer: Oslo", "C?": "Answer: saint malo"}
    paper = ProbeSettings.named("paper").override({"shots": 1, "prompts": 2})
    model = ScriptedModel(lambda asked: say[asked.question])
    published = run(model, facts, tmp_path, paper)
    assert [published.category_of(f.id) for f in facts] == ["HighlyKnown", "HighlyKnown", "Unknown"]
    better = published.relabel(facts, rule="boundary")
    assert [better.category_of(f.id) for f in facts] == ["Unknown", "Unknown", "HighlyKnown"]


WORDS = st.sampled_from(
    ["Answer: Town1", "town1.", "Answer: Town11", "The City1 of", "no", "", "Answer: the Town1"]
)


@given(st.lists(WORDS, min_size=16, max_size=16), st.sampled_from([3, 4]))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_labels_derived_again_are_those_of_a_probe_by_that_rule(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], ways: int
) -> None:
    facts = [Fact(f"{i}?", "Town1", aliases=("City1",), id=f"f{i}") for i in range(4)]

    def say(asked: Asked) -> str:
        return texts[int(asked.chance() * len(texts))]

    base = tmp_path_factory.mktemp("relabel")
    model = ScriptedModel(say)
    stored = run(model, facts, base / "boundary", SMALL)
    calls = len(model.calls)
    for rule in ("substring", "contains", "boundary", "exact"):
        direct = run(ScriptedModel(say), facts, base / rule, SMALL.override({"rule": rule}))
        derived = stored.relabel(facts, rule=rule, ways=ways)
        assert (derived.tally.k_greedy == direct.tally.k_greedy).all()
        assert (derived.tally.k_sampled == direct.tally.k_sampled).all()
        three = label(direct.tally.k_greedy, direct.tally.n_greedy, direct.tally.k_sampled, ways)
        assert (derived.codes == three).all()
    assert len(model.calls) == calls


def test_derived_labels_follow_changed_aliases_and_need_the_probed_facts(tmp_path: Path) -> None:
    facts = some_facts(3)
    result = run(ScriptedModel(lambda asked: "Answer: Elsewhere"), facts, tmp_path)
    assert result.counts["Unknown"] == 3
    wider = [Fact(f.question, f.answer, aliases=("elsewhere",), id=f.id) for f in facts]
    assert result.relabel(wider[::-1]).counts["HighlyKnown"] == 3
    with pytest.raises(MismatchError, match="id0002"):
        result.relabel(facts[:2])


def test_a_loaded_result_is_the_one_that_was_returned(tmp_path: Path) -> None:
    facts = some_facts(20)
    made = run(ScriptedModel(knows(facts)), facts, tmp_path)
    loaded = ProbeResult.load(tmp_path)
    assert loaded.ids == made.ids == [fact.id for fact in facts]
    assert (loaded.codes == made.codes).all()
    assert loaded.settings.deciding() == SMALL.deciding()
    assert loaded.prompts == made.prompts
    assert sum(loaded.counts.values()) == loaded.facts == 20
    assert "<table>" in loaded._repr_html_()
    assert "20" in repr(loaded)
    with pytest.raises(NotFoundError, match="no finished probe"):
        ProbeResult.load(tmp_path / "nowhere")


def test_asking_gives_the_matrix_of_the_probe_and_writes_nothing(tmp_path: Path) -> None:
    facts = some_facts(20)
    model = ScriptedModel(knows(facts))
    result = run(model, facts, tmp_path)
    part = facts[3:9]
    ticks: list[tuple[int, int]] = []
    correct = ask(
        model, part, SMALL.override({"chunk": 4}), pool=facts, generate=model.generate,
        progress=lambda done, total: ticks.append((done, total)),
    )  # fmt: skip
    texts = [row for answers in result.answers() for row in answers.greedy][3:9]
    expected = [
        [matches(text, fact.accepted) for text in row]
        for fact, row in zip(part, texts, strict=True)
    ]
    assert correct.tolist() == expected
    assert correct.dtype == np.bool_
    assert ticks[-1] == (24, 24)
    assert [done for done, _ in ticks] == sorted(done for done, _ in ticks)
    again = ask(model, part, SMALL, prompts=result.prompts, generate=model.generate)
    assert (again == correct).all()
    with pytest.raises(InputError, match="no facts"):
        ask(model, [], SMALL)


def test_progress_counts_questions(tmp_path: Path) -> None:
    facts = some_facts(20)
    ticks: list[tuple[int, int]] = []
    run(
        ScriptedModel(knows(facts)), facts, tmp_path,
        progress=lambda done, total: ticks.append((done, total)),
    )  # fmt: skip
    assert {total for _, total in ticks} == {80}
    assert ticks[-1] == (80, 80)
    assert [done for done, _ in ticks] == sorted(done for done, _ in ticks)
