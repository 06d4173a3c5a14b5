"""The guess floor: what would look known by luck, and what is left of what looks known."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorepack.facts import Fact
from lorepack.probing import ProbeResult, ProbeSettings, label, probe
from lorepack.probing.floor import Asked, corrected, measure
from lorepack.text import RULES, Matcher, Texts
from probing.scripted import Asked as Question
from probing.scripted import Killed, ScriptedModel, files_of, killer

WORDS = st.text(st.sampled_from("ab A.\n-é7"), max_size=6)
GIVEN = st.sampled_from(["Ulm", "Answer: Ulm", "ulm town", "Gera", "", "I don't know", "Ulm\nGera"])


@given(st.lists(WORDS, max_size=8), st.lists(WORDS, max_size=3), st.sampled_from(RULES))
def test_many_texts_are_judged_as_one_by_one(
    texts: list[str], accepted: list[str], rule: str
) -> None:
    match = Matcher(accepted, rule)
    assert Texts(texts, rule).giving(accepted) == [i for i, t in enumerate(texts) if match(t)]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.lists(GIVEN, min_size=3, max_size=3), st.lists(GIVEN, max_size=4)),
             min_size=1, max_size=5),
    st.lists(st.tuples(st.sampled_from(["Ulm", "Gera", "Jena"]), st.integers(0, 3)),
             min_size=1, max_size=6),
    st.sampled_from(RULES),
)  # fmt: skip
def test_shares_and_luck_are_those_of_every_pair(controls, rows, rule: str) -> None:
    facts = [Fact(f"{i}?", answer, relation="r", id=str(i)) for i, (answer, _) in enumerate(rows)]
    codes = np.array([code for _, code in rows], np.int8)
    asked = [Asked("r", greedy, [sampled]) for greedy, sampled in controls]
    found = measure(facts, codes, asked, rule=rule, samples=4)
    pairs = np.array(
        [
            [
                label(
                    sum(map(Matcher(fact.accepted, rule), greedy)), 3,
                    sum(map(Matcher(fact.accepted, rule), sampled)),
                )
                for greedy, sampled in controls
            ]
            for fact in facts
        ]
    )  # fmt: skip
    shares = [float((pairs == code).mean()) for code in range(4)]
    assert list(found.document["categories"].values()) == pytest.approx(shares, abs=1e-6)
    one = found.document["by_relation"]["r"]
    assert one["floor"] == pytest.approx(1 - shares[3], abs=1e-6)
    assert one["known"] == pytest.approx((codes < 3).mean(), abs=1e-6)
    assert found.luck == {
        fact.id: pytest.approx((row <= code).mean())
        for fact, row, code in zip(facts, pairs, codes, strict=True)
    }


def guessing(known: float, chance: float, size: int, controls: int, seed: int):
    """A relation of ``1/chance`` answers whose model knows a share of it and guesses the rest."""
    rng = random.Random(seed)
    answers = [f"town{i}" for i in range(round(1 / chance))]
    facts = [Fact(f"{i}?", rng.choice(answers), relation="r", id=f"{i}") for i in range(size)]
    given = [f.answer if rng.random() < known else rng.choice(answers) for f in facts]
    right = [text == fact.answer for text, fact in zip(given, facts, strict=True)]
    codes = label(np.array(right, int), 1, 0)
    return facts, codes, [Asked("r", [rng.choice(answers)]) for _ in range(controls)]


def test_the_corrected_share_is_what_is_known_and_its_interval_holds_it() -> None:
    """Of 60 relations with 30 % known and a guess in four right, the interval misses few."""
    held, estimates = 0, []
    for seed in range(60):
        facts, codes, asked = guessing(0.3, 0.25, 300, 60, seed)
        whole = measure(facts, codes, asked, rule="boundary", samples=0).document["corrected"]
        held += whole["low"] <= 0.3 <= whole["high"]
        estimates.append(whole["known"])
        assert whole["raw"] > 0.38
        assert whole["floor"] == pytest.approx(0.25, abs=0.05)
    assert held >= 52
    assert np.mean(estimates) == pytest.approx(0.3, abs=0.02)


def test_few_controls_make_a_wide_interval() -> None:
    facts = [Fact(f"{i}?", "x", relation="r", id=f"{i}") for i in range(4000)]
    codes = np.array([0] * 3000 + [3] * 1000, np.int8)

    def width(controls: int) -> float:
        asked = [Asked("r", ["xy"[i % 2]]) for i in range(controls)]
        whole = measure(facts, codes, asked, rule="boundary", samples=0).document["corrected"]
        assert whole["known"] == 0.5
        return whole["high"] - whole["low"]

    assert width(10) > 3 * width(200) > 0


def test_relations_are_corrected_one_by_one_and_weighted_by_facts() -> None:
    """Half known of one relation by luck alone, all of another truly: pooling would say else."""
    coins = [Fact(f"{i}?", "xy"[i % 2], relation="coin", id=f"c{i}") for i in range(300)]
    towns = [Fact(f"town {i}?", f"town{i}", relation="town", id=f"t{i}") for i in range(100)]
    codes = np.array([3 * (i % 2) for i in range(300)] + [0] * 100, np.int8)
    asked = [Asked("coin", ["x"])] * 10 + [Asked("town", ["nowhere"])] * 10
    found = measure([*coins, *towns], codes, asked, rule="boundary", samples=0)
    coin, town = (found.document["by_relation"][name] for name in ("coin", "town"))
    assert (coin["known"], coin["floor"], coin["corrected"]) == (0.5, 0.5, 0)
    assert (town["known"], town["floor"], town["corrected"]) == (1, 0, 1)
    assert found.document["corrected"]["known"] == 0.25
    assert found.document["corrected"]["raw"] == 0.625
    assert found.document["corrected"]["floor"] == 0.375
    assert found.luck["c0"] == 1
    assert found.luck["t0"] == 0
    assert coin["low"] <= 0 <= coin["high"]


def test_a_full_floor_leaves_nothing_to_tell_and_less_than_luck_is_clipped() -> None:
    assert corrected(1.0, 1.0) == 0
    assert corrected([0.5, 0.25], [0.0, 0.5]).tolist() == [0.5, -0.5]
    facts = [Fact(f"{i}?", "x", relation="r", id=f"{i}") for i in range(20)]
    found = measure(facts, np.full(20, 3, np.int8), [Asked("r", ["x"]), Asked("r", ["y"])],
                    rule="boundary", samples=0).document  # fmt: skip
    assert found["corrected"]["known"] == 0
    assert found["corrected"]["clipped"] is True


TOWNS = ("Ulm", "Gera")
NAMES = ["Anna Vogt", "Karl May", "Otto Lenz", "Ida Ilm", "Emma Rau", "Hugo Wolf", "Paul Falk"]
FACTS = [
    Fact(f"Where was {name} born?", TOWNS[i % 2], subject=name, relation="born", id=f"b{i}")
    for i, name in enumerate(NAMES)
]
HOW = ProbeSettings(prompts=2, shots=1, samples=1, chunk=2, controls=5)


def says_ulm(asked: Question) -> str:
    return "Answer: Ulm" if asked.chance() < 0.9 else "I don't know."


def test_a_probe_with_controls_writes_what_the_contract_says(tmp_path: Path) -> None:
    model = ScriptedModel(says_ulm)
    ticks: list[tuple[int, int]] = []
    result = probe(model, FACTS, tmp_path, HOW, generate=model.generate,
                   progress=lambda done, total: ticks.append((done, total)))  # fmt: skip
    assert {total for _, total in ticks} == {24}
    assert [done for done, _ in ticks] == sorted(done for done, _ in ticks)
    import pyarrow.parquet as pq

    asked = pq.read_table(tmp_path / "controls.parquet")
    assert asked.column_names[:4] == ["relation", "question", "greedy", "refused"]
    assert asked.num_rows == 5
    assert set(asked["relation"].to_pylist()) == {"born"}
    questions = {q.question for q in model.asked} - {fact.question for fact in FACTS}
    assert set(asked["question"].to_pylist()) == questions
    luck = pq.read_table(tmp_path / "luck.parquet")
    assert luck.column_names == ["id", "luck"]
    assert luck["id"].to_pylist() == [fact.id for fact in FACTS]
    found = result.controls
    assert found is not None
    assert (found["per_relation"], found["questions"], found["left_out"]) == (5, 5, {})
    assert set(found["corrected"]) >= {"known", "low", "high", "raw", "floor"}
    assert set(found["by_relation"]["born"]) >= {
        "facts", "controls", "known", "floor", "corrected", "low", "high",
    }  # fmt: skip
    assert result.luck == dict(zip(luck["id"].to_pylist(), luck["luck"].to_pylist(), strict=True))
    gera = [fact.id for fact in FACTS if fact.answer == "Gera"]
    assert {result.category_of(name) for name in gera} == {"Unknown"}
    assert found["by_relation"]["born"]["floor"] == pytest.approx(4 / 7, abs=0.01)
    # the same exemplars, the same form
    shown = {q.turns for q in model.asked if q.question in questions}
    assert shown <= {q.turns for q in model.asked if q.question not in questions}
    assert set(json_manifest(tmp_path)) >= {"controls.parquet", "luck.parquet"}


def json_manifest(folder: Path) -> dict:
    from lorepack.files import read_json

    return read_json(folder / "manifest.json")["files"]


def test_a_killed_probe_asks_only_the_controls_that_are_missing(tmp_path: Path) -> None:
    whole = ScriptedModel(says_ulm)
    probe(whole, FACTS, tmp_path / "whole", HOW, generate=whole.generate)
    calls = len(whole.calls)
    assert calls == 4 + 3
    for at in range(4, calls):  # among the controls
        folder = tmp_path / str(at)
        first = ScriptedModel(says_ulm, before_call=killer(at))
        with pytest.raises(Killed):
            probe(first, FACTS, folder, HOW, generate=first.generate)
        again = ScriptedModel(says_ulm)
        probe(again, FACTS, folder, HOW, generate=again.generate)
        assert len(again.calls) == calls - at
        assert files_of(folder) == files_of(tmp_path / "whole")


def test_without_controls_nothing_is_asked_and_nothing_is_said(tmp_path: Path) -> None:
    model = ScriptedModel(says_ulm)
    result = probe(model, FACTS, tmp_path, HOW.override({"controls": 0}), generate=model.generate)
    assert (result.controls, result.luck) == (None, None)
    assert {q.question for q in model.asked} == {fact.question for fact in FACTS}
    assert not (tmp_path / "controls.parquet").exists()


def test_the_floor_follows_another_rule_without_asking(tmp_path: Path) -> None:
    model = ScriptedModel(lambda asked: "Answer: Ulmer")
    probed = probe(model, FACTS, tmp_path, HOW, generate=model.generate)
    calls = len(model.calls)
    loose = probed.relabel(FACTS, rule="contains")
    assert len(model.calls) == calls
    assert probed.controls is not None
    assert loose.controls is not None
    assert probed.controls["corrected"]["floor"] == 0
    assert loose.controls["corrected"]["floor"] == pytest.approx(4 / 7, abs=1e-6)
    assert loose.luck is not None
    assert loose.luck["b0"] == 1
    assert ProbeResult.load(tmp_path).controls == probed.controls


def test_relations_without_controls_are_named_in_a_note(tmp_path: Path) -> None:
    odd = [Fact("Who wrote Faust?", "Goethe", id="x"), Fact("How high is it?", "4 m", id="y")]
    model = ScriptedModel(says_ulm)
    result = probe(model, [*FACTS, *odd], tmp_path, HOW, generate=model.generate)
    assert any("no guess floor for 1 relations" in note for note in result.notes)
    assert result.luck is not None
    assert set(result.luck) == {fact.id for fact in FACTS}


def test_a_users_lexicon_counts_refusals_and_is_kept_in_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("schema: 1\nlanguages:\n  en:\n    begins: [ulm]\n", encoding="utf-8")
    how = HOW.override({"refusals": str(path), "controls": 0})
    model = ScriptedModel(lambda asked: "Answer: Ulm")
    result = probe(model, FACTS, tmp_path / "out", how, generate=model.generate)
    # an answer that is right is never a refusal
    assert result.refused.tolist() == [0 if f.answer == "Ulm" else 2 for f in FACTS]
    path.unlink()
    loaded = ProbeResult.load(tmp_path / "out")
    assert loaded.settings.lexicon.sha256 == loaded.document["refusals"]["lexicon"]
    assert loaded.settings.deciding() == how.deciding()
    assert loaded.relabel(FACTS).refused.tolist() == result.refused.tolist()
    shipped = loaded.settings.override({"refusals": ""})
    assert shipped.lexicon.sha256 != loaded.settings.lexicon.sha256


def test_other_refusals_are_other_inputs(tmp_path: Path) -> None:
    texts = []
    for i, word in enumerate(("one", "two")):
        path = tmp_path / f"{i}.yaml"
        path.write_text(f"schema: 1\nlanguages:\n  en:\n    begins: [{word}]\n", encoding="utf-8")
        texts.append(ProbeSettings(refusals=str(path)).deciding())
    assert all(one != two for one, two in itertools.combinations(texts, 2))


def test_a_folder_that_took_over_a_probes_main_files_can_be_read(tmp_path: Path) -> None:
    model = ScriptedModel(says_ulm)
    probed = probe(model, FACTS, tmp_path, HOW, generate=model.generate)
    for name in ("controls.parquet", "luck.parquet"):
        (tmp_path / name).unlink()
    loaded = ProbeResult.load(tmp_path)
    assert loaded.controls == probed.controls
    assert loaded.luck is None
    assert loaded.relabel(FACTS, rule="exact").controls is None
