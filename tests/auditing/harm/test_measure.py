"""Measurements: the harness's own figures, resumed, cached, paired; and bad input."""

from __future__ import annotations

import builtins
import json
import shutil
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from lorepack import lora
from lorepack.auditing import harm
from lorepack.auditing.harm import HarmSettings, main_metric, measure, tasks
from lorepack.errors import InputError, MismatchError, NotFoundError, NumericError
from lorepack.llm import LanguageModel, load

pytest.importorskip("lm_eval")

DATA = Path(__file__).parents[4] / "shared/data/harm"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs shared/data/harm")
FEW = HarmSettings(limit=6)


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return load("world", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def stack(lm) -> lora.Stack:
    """Two adapters: one at its start, one that has moved."""
    spec = lora.AdapterSpec(2, 4.0, False, tuple(lora.resolve(lm.model, ("mlp",))))
    stack = lora.Stack(lm.model, [spec, spec], [0, 1])
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for factor in stack.B.values():
            factor[1].normal_(0, 1, generator=draw)
    return stack


def world_only(lm, stack, out, **options):
    names = ["start", "moved"]
    options.setdefault("settings", FEW)
    return measure(lm, ["world"], out, stack=stack, adapters=names, **options)


def test_the_worlds_own_sets_are_measured_on_base_and_adapters(lm, stack, tmp_path):
    seen = []
    found = world_only(lm, stack, tmp_path / "a", progress=lambda *step: seen.append(step))
    assert list(found.tasks) == ["world-choice", "world-comparison", "world-truth", "world-two_hop"]
    for row in found.tasks.values():
        assert (row["items"], row["overlong"], row["template"], row["shots"]) == (6, 0, "chat", 0)
        for metric in row["metrics"].values():
            start, moved = (metric["adapters"][name] for name in ("start", "moved"))
            assert start["value"] == metric["base"]["value"]
            assert (start["delta"], start["p"]) == (0, 1)
            assert moved["delta"] == pytest.approx(moved["value"] - metric["base"]["value"])
            assert moved["test"] in ("mcnemar", "paired-bootstrap")
    masses = found.tasks["world-truth"]["metrics"]["mass"]
    assert abs(masses["adapters"]["moved"]["delta"]) > 0.01
    chosen = found.tasks["world-choice"]["metrics"]["acc"]["adapters"]["moved"]
    assert found.delta("world-choice", "moved") == chosen["delta"]
    assert found.document["tool"] == "lm-evaluation-harness"
    assert found.document["model"]["fingerprint"] == lm.fingerprint
    assert {task for task, _, _ in seen} == set(found.tasks)
    table = pq.read_table(tmp_path / "a" / "items.parquet").to_pylist()
    rows = [r for r in table if r["task"] == "world-truth" and r["metric"] == "mass"]
    assert len(rows) == 3 * 6
    base = [r["value"] for r in rows if r["variant"] == "base"]
    want = found.tasks["world-truth"]["metrics"]["mass"]["base"]["value"]
    assert sum(base) / 6 == pytest.approx(want)


def test_what_is_known_is_not_asked_again(lm, stack, tmp_path, monkeypatch):
    from lorepack.auditing.harm import asking

    cache = tmp_path / "cache"
    base = measure(lm, ["world-choice"], tmp_path / "base", settings=FEW, cache=cache)
    asked = []
    ask = asking.ask
    monkeypatch.setattr(asking, "ask", lambda m, t, variants, *rest: (
        asked.append((t.name, list(variants))), ask(m, t, variants, *rest))[1])  # fmt: skip
    both = measure(lm, ["world-choice"], tmp_path / "a", stack=stack, adapters=["x", "y"],
                   settings=FEW, cache=cache)  # fmt: skip
    assert asked == [("world-choice", [0, 1])]  # the base was in the cache
    assert (
        both.tasks["world-choice"]["metrics"]["acc"]["base"]
        == (base.tasks["world-choice"]["metrics"]["acc"]["base"])
    )
    again = measure(lm, ["world-choice"], tmp_path / "b", stack=stack, adapters=["u", "v"],
                    settings=FEW, cache=cache)  # fmt: skip
    assert len(asked) == 1  # other names, the same adapters
    row = again.tasks["world-choice"]["metrics"]["acc"]["adapters"]
    first = both.tasks["world-choice"]["metrics"]["acc"]["adapters"]
    assert [row["u"], row["v"]] == [first["x"], first["y"]]
    measure(lm, ["world-choice"], tmp_path / "b", settings=HarmSettings(limit=5), cache=cache)
    assert asked[1:] == [("world-choice", [None])]  # other settings, another question


def test_a_killed_measurement_goes_on_and_ends_with_the_same_bytes(
    lm, stack, tmp_path, monkeypatch
):
    from lorepack.auditing.harm import asking

    whole = world_only(lm, stack, tmp_path / "whole")
    ask = asking.ask
    count = []

    def dies(model, loaded, *rest):
        count.append(loaded.name)
        if len(count) == 3:
            raise KeyboardInterrupt
        return ask(model, loaded, *rest)

    monkeypatch.setattr(asking, "ask", dies)
    with pytest.raises(KeyboardInterrupt):
        world_only(lm, stack, tmp_path / "out")
    assert not (tmp_path / "out" / "harm.json").exists()
    half = next((tmp_path / "out" / "cache").glob("world-choice-*.json"))
    half.write_text(half.read_text()[:100])  # cut in half: asked again
    world_only(lm, stack, tmp_path / "out")
    assert count[3:] == ["world-choice", "world-truth", "world-two_hop"]
    for name in ("harm.json", "items.parquet"):
        want = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "out" / name).read_bytes() == want
    assert json.loads((tmp_path / "out" / "harm.json").read_text()) == whole.document


@needs_data
@pytest.mark.parametrize(("name", "shots"), [("truthfulqa_mc2", 0), ("arc_challenge", 2)])
def test_figures_are_those_of_the_harness_own_evaluator(lm, tmp_path, name, shots):
    """The same local task through `lm_eval`'s evaluator and its own backend."""
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    from lorepack.auditing.harm.extra import quiet

    settings = HarmSettings(limit=3, shots=shots)
    ours = measure(lm, [name], tmp_path / "a", data=DATA, settings=settings)
    with quiet():
        peer = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=1, max_length=1024)
        folder = tmp_path / "a" / "tasks" / name
        loaded = TaskManager(include_defaults=False).load([str(folder / f"{name}.yaml")])
        loaded["tasks"][name].set_config("num_fewshot", shots)
        loaded["tasks"][name].set_fewshot_seed(1234)  # as the harness's own command sets it
        theirs = evaluate(peer, loaded, limit=3, bootstrap_iters=10)["results"][name]
    assert ours.tasks[name]["shots"] == shots
    for metric, row in ours.tasks[name]["metrics"].items():
        assert row["base"]["value"] == pytest.approx(theirs[f"{metric},none"], abs=1e-5)
        assert row["base"]["stderr"] == pytest.approx(theirs[f"{metric}_stderr,none"], abs=1e-5)


@needs_data
def test_mmlu_spreads_its_limit_over_the_subjects_and_drops_shots_that_do_not_fit(tmp_path):
    stories = DATA.parent / "models/stories260K"
    lm = load(stories, device="cpu")
    found = measure(lm, ["mmlu"], tmp_path / "a", data=DATA,
                    settings=HarmSettings(limit=58, shots=2))  # fmt: skip
    row = found.tasks["mmlu"]
    assert (row["items"], row["shots_asked"], row["limit"]) == (58, 2, 58)
    assert sum(row["shots_used"].values()) == 58
    assert row["shots_used"]["0"] > 0
    assert row["overlong"] > 0
    items = pq.read_table(tmp_path / "a" / "items.parquet")["item"].to_pylist()
    assert len({item.split("/")[0] for item in items}) == 57


@needs_data
def test_shots_are_drawn_the_same_every_time(lm, tmp_path):
    from lorepack.auditing.harm import asking
    from lorepack.auditing.harm.model import HarnessModel

    [chosen] = tasks.choose(["arc_challenge"], DATA)
    settings = HarmSettings(limit=3, shots=4)
    prompts = []
    for number in range(2):
        loaded = tasks.load(chosen, tmp_path / str(number))
        [task] = loaded.parts.values()
        asking._build(task, HarnessModel(lm), 3, settings, False)
        prompts.append([request.args for request in task.instances])
    assert prompts[0] == prompts[1]


@needs_data
def test_written_answers_are_scored_by_the_harness_own_functions(lm, tmp_path):
    found = measure(lm, ["truthfulqa_gen"], tmp_path / "a", data=DATA,
                    settings=HarmSettings(limit=2, answer_tokens=24))  # fmt: skip
    metrics = found.tasks["truthfulqa_gen"]["metrics"]
    assert {"bleu_max", "bleu_acc", "bleu_diff", "rouge1_max", "rougeL_acc"} <= set(metrics)
    assert main_metric(metrics) == "bleu_acc"


class NoHub:
    """The harness's tasks, without a hub to fetch their items from."""

    all_tasks = ("mmlu", "hellaswag", "lambada_openai")

    def load(self, names):
        raise ConnectionError(f"Couldn't reach {names[0]}\non the Hub")


def test_a_task_that_does_not_exist_is_suggested(lm, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "_index", NoHub)
    for given, meant in (
        ("truthfulqa_mc", "truthfulqa_mc2"), ("helaswag", "hellaswag"), ("worlds", "world")
    ):  # fmt: skip
        with pytest.raises(InputError, match=f"'{given}': unknown; did you mean {meant}."):
            measure(lm, [given], tmp_path / "a")
    with pytest.raises(InputError, match=r"unknown; known are arc_challenge, .*lm_eval ls tasks"):
        tasks.choose(["qqqqqqqq"])
    assert [one.name for one in tasks.choose(["lambada_openai", "mmlu"])] == [
        "lambada_openai", "mmlu"
    ]  # fmt: skip


@pytest.mark.slow
def test_the_harness_own_names_are_known():
    with pytest.raises(InputError, match="did you mean hellaswag"):
        tasks.choose(["helaswag"])
    assert tasks.choose(["arc_easy"])[0].source == "hub"


def test_a_task_of_the_hub_without_one_says_how_to_give_files(lm, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "_index", NoHub)
    with pytest.raises(InputError, match=r"cannot be fetched .* --data DIR with mmlu.zip") as told:
        measure(lm, ["mmlu"], tmp_path / "a")
    assert "\n" not in str(told.value)


def test_a_data_folder_that_does_not_exist_is_named(lm, tmp_path):
    with pytest.raises(NotFoundError, match="no such folder"):
        measure(lm, ["mmlu"], tmp_path / "a", data=tmp_path / "none")


def test_a_file_in_another_layout_is_named_with_its_line(lm, tmp_path):
    (tmp_path / "truthfulqa.csv").write_text("Question,Answer\nWhy?,So\n")
    with pytest.raises(InputError, match=r"truthfulqa\.csv:1: no column"):
        measure(lm, ["truthfulqa_mc1"], tmp_path / "a", data=tmp_path)
    with zipfile.ZipFile(tmp_path / "mmlu.zip", "w") as held:
        held.writestr("data/dev/law_dev.csv", "q,1,2,3,4,A\n")
        held.writestr("data/test/law_test.csv", "q,1,2,3,4,A\n")
    with pytest.raises(InputError, match="subject law is none of MMLU's 57"):
        measure(lm, ["mmlu"], tmp_path / "a", data=tmp_path)


def test_without_the_harness_one_line_says_what_to_install(lm, tmp_path, monkeypatch):
    real = builtins.__import__
    monkeypatch.setattr(
        "importlib.import_module",
        lambda name, *rest: (_ for _ in ()).throw(ImportError(name)) if name == "lm_eval"
        else real(name, *rest),
    )  # fmt: skip
    with pytest.raises(InputError, match=r"needs lm-eval; pip install 'lorepack\[harm\]'"):
        measure(lm, ["world"], tmp_path / "a")


def test_nan_in_an_adapter_is_an_error_that_names_task_and_adapter(lm, tmp_path, stack):
    broken = lora.Stack(lm.model, [stack.specs[0]], [0])
    with torch.no_grad():
        next(iter(broken.B.values())).fill_(float("nan"))
    with pytest.raises(NumericError, match=r"world-choice.*bad"):
        measure(lm, ["world-choice"], tmp_path / "a", stack=broken, adapters=["bad"], settings=FEW)


def test_names_and_adapters_must_fit(lm, stack, tmp_path):
    with pytest.raises(InputError, match="1 names for 2 adapters"):
        measure(lm, ["world"], tmp_path / "a", stack=stack, adapters=["x"])
    with pytest.raises(InputError, match="must differ"):
        measure(lm, ["world"], tmp_path / "a", stack=stack, adapters=["x", "base"])
    with pytest.raises(InputError, match="no task"):
        measure(lm, [], tmp_path / "a")
    with pytest.raises(InputError, match="limit: got 0"):
        HarmSettings(limit=0)


@needs_data
def test_a_template_that_a_model_lacks_is_an_error(tmp_path):
    stories = load(DATA.parent / "models/stories260K", device="cpu")
    chat = HarmSettings(chat_template=True)
    with pytest.raises(InputError, match="no chat template"):
        measure(stories, ["world-choice"], tmp_path / "a", settings=chat)


def test_a_folder_of_another_model_is_kept(lm, tmp_path):
    out = tmp_path / "a"
    measure(lm, ["world-choice"], out, settings=FEW)
    with pytest.raises(MismatchError, match="another folder"):
        measure(load("world-base", device="cpu"), ["world-choice"], out, settings=FEW)
    again = measure(lm, ["world-truth"], out, settings=FEW)  # the same model: replaced
    assert list(harm.HarmResult.load(out).tasks) == list(again.tasks) == ["world-truth"]
    shutil.rmtree(out / "cache")


def test_the_package_does_not_import_the_harness():
    import subprocess
    import sys

    code = "import sys, lorepack.auditing.harm; sys.exit('lm_eval' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_chosen_by_one_half_can_be_judged_by_the_other(lm, stack, tmp_path):
    from lorepack.auditing.outside import measure_tasks

    halves = {}
    for part in ("development", "test"):
        changes = measure_tasks(
            lm, stack, ["still", "moved"], ["world-choice"], tmp_path / part, part=part, limit=12
        )
        assert changes[0] == {"world-choice": (0.0, 0.0)}
        table = pq.read_table(tmp_path / part / "items.parquet").to_pydict()
        halves[part] = set(table["item"])
        assert len(halves[part]) == 6
    assert not halves["development"] & halves["test"]
