"""A run under a budget, whole: what it chooses, what it says, what it keeps."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from click.testing import CliRunner

import lorepack
from lorepack import files, llm, lora
from lorepack.auditing import frontier, neutral_drift, search
from lorepack.cli.main import cli
from lorepack.errors import InputError, MismatchError, NotFoundError
from lorepack.packing.stages import adapter_on
from lorepack.probing import CATEGORIES, ProbeResult
from lorepack.text import matches
from lorepack.world import model_path
from packing.conftest import SETTINGS
from packing.test_pack import tree

SETS = [
    "probe.prompts=2", "epochs=3", "min_steps=0", "lr=8e-3", "budget.checkpoints=2",
    "budget.strengths=0.3,1", "budget.thirds=false",
]  # fmt: skip
LIMITS = {"neutral_kl": 0.05, "negative_shift": 0.5}
CALL = {**SETTINGS, "sets": SETS, "budget": LIMITS}


@pytest.fixture(scope="module")
def kept(tmp_path_factory, fact_file):
    """A finished run under a budget; not to be changed."""
    run = tmp_path_factory.mktemp("runs") / "run"
    return run, lorepack.pack("world", fact_file, run, **CALL)


def document(run: Path):
    return files.read_json(run / "budget" / "budget.json")


def test_every_point_was_measured_and_the_verdict_is_of_the_test_part(kept):
    run, result = kept
    found = document(run)
    assert found["schema"] == 1
    assert found["limits"] == LIMITS
    names = {(p["checkpoint"], p["strength"]) for p in found["points"]}
    assert names == {(c, s) for c in (found["points"][0]["checkpoint"], "final") for s in (0.3, 1)}
    for point in found["points"]:
        within = all(point["measures"][name] <= limit for name, limit in LIMITS.items())
        assert point["holds"] == within
    for name, row in found["test"]["measures"].items():
        assert row["held"] == (row["value"] <= row["limit"] == LIMITS[name])
    assert found["held"] == all(row["held"] for row in found["test"]["measures"].values())
    assert result.held == found["held"]
    assert result.budget["test"] == found["test"]
    rows = pq.read_table(run / "budget" / "points.parquet").to_pylist()
    assert [row["reliability"] for row in rows] == [p["reliability"] for p in found["points"]]
    assert [row["neutral_kl"] for row in rows] == [
        p["measures"]["neutral_kl"] for p in found["points"]
    ]


def test_strength_one_of_the_last_checkpoint_is_what_training_measured(kept):
    """The guard of training is the development text: two ways to one figure."""
    run, _ = kept
    epochs = files.read_json(run / "training" / "epochs.json")["epochs"]
    kept_epoch = files.read_json(run / "training" / "result.json")["kept_epoch"]
    (point,) = [
        p for p in document(run)["points"] if (p["checkpoint"], p["strength"]) == ("final", 1)
    ]
    want = next(row["harm"] for row in epochs if row["epoch"] == kept_epoch)
    assert point["measures"]["neutral_kl"] == pytest.approx(want, rel=1e-3)


def test_peft_loads_the_chosen_adapter_with_equal_logits(kept):
    run, _ = kept
    found = document(run)
    point = found["points"][found["chosen"]]
    name = point["checkpoint"]
    source = run / "training" / ("adapter" if name == "final" else f"epochs/{name:03d}")
    ids = torch.tensor([list(range(5, 40))])
    lm = llm.load("world")
    loaded = lora.load(source, lm.model)
    stack = lora.Stack(lm.model, [loaded.spec], [0])
    stack.load_factors(0, {n: (a, b * point["strength"]) for n, (a, b) in loaded.factors.items()})
    with torch.no_grad(), stack.attached(), stack.using(0):
        want = lm.model(input_ids=ids).logits
    model = transformers.AutoModelForCausalLM.from_pretrained(model_path("world"), dtype="float32")
    model.load_adapter(str(run / "adapter"))
    with torch.no_grad():
        assert torch.allclose(model(input_ids=ids).logits, want, atol=1e-4)


def test_the_same_call_again_measures_nothing_and_changes_no_byte(kept, fact_file, monkeypatch):
    run, result = kept
    before = tree(run)

    def never(*_, **__):
        raise AssertionError("measured again")

    monkeypatch.setattr(search, "ask_each", never)
    monkeypatch.setattr(frontier, "drift_each", never)
    again = lorepack.pack("world", fact_file, run, **CALL)
    assert tree(run) == before
    assert again.budget == result.budget


def test_a_choice_that_was_interrupted_ends_with_the_same_bytes(
    kept, fact_file, tmp_path, monkeypatch
):
    run, _ = kept
    copy = shutil.copytree(run, tmp_path / "run")
    for name in ("budget", "adapter", "audit"):
        shutil.rmtree(copy / name)
    monkeypatch.setattr(search, "SLOTS", 2)  # two turns
    once, turns = search._turn, []

    def second_fails(*given):
        turns.append(1)
        if len(turns) == 2:
            raise KeyboardInterrupt
        return once(*given)

    monkeypatch.setattr(search, "_turn", second_fails)
    with pytest.raises(KeyboardInterrupt):
        lorepack.pack("world", fact_file, copy, **CALL)
    assert not (copy / "adapter").exists()
    lorepack.pack("world", fact_file, copy, **CALL)
    assert len(turns) == 3  # the first was not measured again
    ours, theirs = tree(copy), tree(run)
    assert [name for name in theirs if ours.get(name) != theirs[name]] == []


def test_what_is_judged_by_was_not_chosen_by(kept):
    run, _ = kept
    rows = pq.read_table(run / "budget" / "development" / "split.parquet").to_pylist()
    parts = {row["id"]: row["part"] for row in rows}
    mix = files.read_json(run / "mix" / "mix.json")
    assert not set(parts) & {*mix["trained"], *mix["known"]}
    told = document(run)["development"]
    assert not set(told["texts"]) & set(told["test_texts"])
    assert not set(told["prompts"]) & set(told["test_prompts"])


def test_the_verdict_is_what_the_test_part_says_written_out(kept):
    run, _ = kept
    told, found = document(run)["development"], document(run)["test"]
    lm, texts = llm.load("world"), SETTINGS["neutral"]
    with adapter_on(lm, run / "adapter", []) as stack:

        @contextmanager
        def on():
            with stack.using(0):
                yield

        drift = neutral_drift(lm, on, [texts[place] for place in told["test_texts"]])
    assert found["measures"]["neutral_kl"]["value"] == pytest.approx(drift["kl"], rel=1e-4)

    facts = {fact.id: fact for fact in lorepack.load_facts(run / "facts.jsonl")}
    trained = files.read_json(run / "mix" / "mix.json")["trained"]
    rows = pq.read_table(run / "audit" / "answers.parquet").to_pylist()
    answers = {row["id"]: [row["greedy"][place] for place in told["test_prompts"]] for row in rows}
    right = [
        matches(text, facts[name].accepted, "boundary")
        for name in trained
        for text in answers[name]
    ]
    assert found["reliability"] == pytest.approx(sum(right) / len(right))

    before, after = (ProbeResult.load(run / name) for name in ("probe", "audit"))
    split = pq.read_table(run / "budget" / "development" / "split.parquet").to_pylist()
    test = [row["id"] for row in split if row["part"] == "test"]
    worse = [
        CATEGORIES.index(after.category_of(name)) > CATEGORIES.index(before.category_of(name))
        for name in test
    ]
    assert found["measures"]["negative_shift"]["value"] == pytest.approx(np.mean(worse))


def test_another_budget_in_the_same_run_is_refused(kept, fact_file):
    run, _ = kept
    with pytest.raises(MismatchError, match=r"budget.*neutral_kl: 0\.05 there, 0\.5 asked"):
        lorepack.pack("world", fact_file, run, **{**CALL, "budget": {**LIMITS, "neutral_kl": 0.5}})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"budget": ["neutral_lk=1"]}, "did you mean neutral_kl"),
        ({"budget": (), "sets": ["budget.facts=5"]}, "no limit is given"),
        ({"budget": {"neutral_kl": 1}, "neutral": ["One text."]}, "at least 2 different neutral"),
        ({"budget": (), "sets": ["harm_budget=0.1"]}, "harm_budget"),
    ],
)
def test_a_budget_that_cannot_be_kept_to_is_refused_before_training(
    fact_file, tmp_path, changed, message
):
    with pytest.raises(InputError, match=message):
        lorepack.pack("world", fact_file, tmp_path / "run", **{**CALL, **changed})
    assert not (tmp_path / "run" / "training").exists()


def test_a_run_is_tuned_to_a_stricter_budget_and_left_as_it_is(kept, tmp_path):
    run, _ = kept
    before = tree(run)
    sets = ["budget.strengths=0.1", "budget.checkpoints=1", "budget.thirds=false"]
    tuned = lorepack.tune(run, tmp_path / "tuned", ["neutral_kl=0.0"], sets=sets)
    assert tree(run) == before
    assert not tuned.held
    assert 0 < tuned.budget["test"]["measures"]["neutral_kl"]["value"] < 0.05
    assert tuned.budget["chosen"]["strength"] == 0.1
    weak, whole = (
        json.loads((folder / "adapter_config.json").read_text())["lora_alpha"]
        for folder in (tuned.adapter, run / "training" / "adapter")
    )
    assert weak == pytest.approx(0.1 * whole)
    assert set(tuned.to_json()) == {"adapter", "budget", "audit", "seconds", "notes"}


def test_the_verb_ends_with_three_where_the_budget_was_not_held(kept, tmp_path):
    run, _ = kept
    sets = ["budget.strengths=1", "budget.thirds=false", "budget.checkpoints=1"]
    words = ["tune", str(run), *(word for one in sets for word in ("--set", one)), "--json"]
    strict = [*words, "--out", str(tmp_path / "strict"), "--budget", "perplexity=0.0001"]
    ended = CliRunner().invoke(cli, strict)
    assert ended.exit_code == 3, ended.output
    assert "budget not held: perplexity is" in ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["budget"]["held"] is False
    assert (tmp_path / "strict" / "budget" / "budget.json").is_file()
    loose = [*words, "--out", str(tmp_path / "loose"), "--budget", "perplexity=1000"]
    assert CliRunner().invoke(cli, loose).exit_code == 0
    told = CliRunner().invoke(cli, [word for word in loose if word != "--json"])
    assert "held" in told.stdout
    assert CliRunner().invoke(cli, [*words, "--out", str(tmp_path / "none")]).exit_code == 2


def test_an_adapter_alone_is_tuned_on_facts_that_are_given(kept, fact_file, tmp_path):
    run, _ = kept
    tuned = lorepack.tune(
        run / "training" / "adapter", tmp_path, {"neutral_kl": 1e-9, "refusals": 1.0},
        model="world", facts=fact_file, samples=0, neutral=SETTINGS["neutral"][:6],
        sets=["prompts=1", "budget.strengths=0.5", "budget.thirds=true"],
    )  # fmt: skip
    assert not tuned.held
    assert tuned.budget["chosen"]["layers"] is not None  # weaker in part: nothing held as it was
    points = document(tmp_path)["points"]
    assert len(points) == 1 + 3 * 3
    chosen = points[document(tmp_path)["chosen"]]
    assert chosen["measures"]["neutral_kl"] == min(p["measures"]["neutral_kl"] for p in points)


@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        ("nothing", {}, NotFoundError, "neither a run nor an adapter"),
        ("adapter", {}, InputError, "give the model and the facts"),
        (".", {"model": "world"}, InputError, "are its own"),
    ],
)
def test_what_cannot_be_tuned_is_refused(kept, tmp_path, source, options, error, message):
    run, _ = kept
    with pytest.raises(error, match=message):
        lorepack.tune(run / source, tmp_path / "out", ["neutral_kl=1"], **options)


def test_an_adapter_that_tells_nothing_of_its_facts_cannot_be_weighed(kept, fact_file, tmp_path):
    run, _ = kept
    adapter = shutil.copytree(run / "adapter", tmp_path / "adapter")
    (adapter / "lorepack.json").unlink()
    with pytest.raises(InputError, match="names none"):
        lorepack.tune(adapter, tmp_path / "out", ["neutral_kl=1"], model="world", facts=fact_file)
