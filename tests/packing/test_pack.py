"""The main job, whole: what a run writes, says and keeps."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import lorepack
from lorepack import facts as room
from lorepack import files, world
from lorepack.errors import InputError, LorepackError, MismatchError, NumericError, WriteError
from lorepack.packing.demonstration import SAMPLE, sample
from packing.conftest import SETTINGS

CONTRACT = (
    "facts", "categories", "unknown_trained", "reliability", "generality", "positive_shift",
    "negative_shift", "spillover_positive", "spillover_negative", "neutral_kl", "refusals_before",
    "refusals_after", "seconds", "report", "adapter",
)  # fmt: skip


def tree(folder: Path) -> dict[str, str]:
    """The hashes of all files of a run but those that hold times and paths."""
    return {
        str(path.relative_to(folder)): files.sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("timing.json", ".lorepack.lock", "report.html")
    }


def test_a_run_has_every_figure_of_the_contract(finished):
    _, result = finished
    row = result.to_json()
    assert set(CONTRACT) <= row.keys()
    assert json.loads(json.dumps(row)) == row


def test_the_figures_of_a_run_are_those_of_its_audit(finished):
    run, result = finished
    audit = files.read_json(run / "audit" / "audit.json")
    assert result.facts == audit["facts"] == 36
    assert result.unknown_trained == audit["trained"] == 8
    assert sum(result.categories.values()) == 36
    assert result.reliability == audit["reliability"]["mean"]
    assert result.spillover_negative == audit["shifts"]["untrained"]["negative"]["of_all"]
    assert result.report.is_file()
    assert (result.adapter / "adapter_model.safetensors").is_file()


def test_the_same_call_again_changes_no_byte(finished, fact_file):
    run, result = finished
    before = tree(run)
    again = lorepack.pack("world", fact_file, run, **SETTINGS)
    assert tree(run) == before
    assert again.reliability == result.reliability


def test_the_same_call_elsewhere_gives_the_same_bytes(finished, fact_file, tmp_path):
    run, _ = finished
    lorepack.pack("world", fact_file, tmp_path / "other", **SETTINGS)
    ours, theirs = tree(run), tree(tmp_path / "other")
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_other_settings_in_the_same_folder_are_refused(finished, fact_file):
    run, _ = finished
    with pytest.raises(MismatchError, match="seed: 3 there, 4 asked"):
        lorepack.pack("world", fact_file, run, **{**SETTINGS, "seed": 4})


def test_the_last_point_of_the_epoch_curve_is_what_the_audit_finds(fact_file, tmp_path):
    sets = ["probe.prompts=2", "epochs=4", "min_steps=0", "lr=5e-3"]
    changed = {**SETTINGS, "sets": sets, "epoch_curve": True}
    result = lorepack.pack("world", fact_file, tmp_path / "run", **changed)
    epochs = files.read_json(tmp_path / "run" / "training" / "epochs.json")["epochs"]
    assert [row["epoch"] for row in epochs] == [1, 2, 3, 4]
    assert epochs[-1]["reliability"] == pytest.approx(result.reliability, abs=1e-9)
    assert result.reliability > 0


def test_auditing_a_finished_run_gives_its_figures(finished, tmp_path):
    run, result = finished
    copy = shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(copy / "audit")
    again = lorepack.audit(run=copy)
    assert again.reliability == result.reliability
    assert tree(copy) == tree(run)


def test_an_adapter_of_ours_is_audited_with_its_own_trained_facts(finished, fact_file, tmp_path):
    run, result = finished
    audited = lorepack.audit(
        "world", run / "adapter", fact_file, tmp_path, samples=0, seed=3, sets=["prompts=2"]
    )
    assert audited.trained == 8
    assert audited.reliability == result.reliability
    assert audited.generality == result.generality is not None


def test_wordings_that_changed_since_training_are_not_called_held_out(
    finished, fact_file, tmp_path
):
    run, _ = finished
    path = tmp_path / "facts.jsonl"
    room.write(path, [replace(fact, paraphrases=()) for fact in room.load(fact_file, [])])
    audited = lorepack.audit(
        "world", run / "adapter", path, tmp_path / "out", samples=0, sets=["prompts=1"]
    )
    assert audited.generality is None
    assert any("generality is not measured" in note for note in audited.notes)


def test_a_run_whose_facts_were_edited_is_not_audited(finished, tmp_path):
    run, _ = finished
    copy = shutil.copytree(run, tmp_path / "run")
    lines = (copy / "facts.jsonl").read_text().splitlines()
    (copy / "facts.jsonl").write_text("\n".join(lines[1:]) + "\n")
    with pytest.raises(MismatchError, match=r"facts\.jsonl has changed"):
        lorepack.audit(run=copy)


def test_an_adapter_without_provenance_is_audited_with_a_warning(finished, fact_file, tmp_path):
    run, _ = finished
    adapter = shutil.copytree(run / "adapter", tmp_path / "adapter")
    (adapter / "lorepack.json").unlink()
    audited = lorepack.audit(
        "world", adapter, fact_file, tmp_path / "out", samples=0, sets=["prompts=1"]
    )
    assert audited.reliability is None
    assert any("lorepack.json" in note for note in audited.notes)


def test_an_adapter_of_another_base_is_refused(finished, fact_file, tmp_path):
    run, _ = finished
    with pytest.raises(MismatchError, match="base"):
        lorepack.audit("world-base", run / "adapter", fact_file, tmp_path)


def test_an_adapter_with_nan_is_refused_by_name(finished, fact_file, tmp_path):
    run, _ = finished
    adapter = shutil.copytree(run / "adapter", tmp_path / "adapter")
    weights = load_file(adapter / "adapter_model.safetensors")
    name = sorted(weights)[0]
    weights[name][0, 0] = float("nan")
    save_file(weights, adapter / "adapter_model.safetensors")
    with pytest.raises(LorepackError, match="lora_A"):
        lorepack.audit("world", adapter, fact_file, tmp_path / "out")


def test_more_unknown_facts_than_there_are_is_an_error_with_both_numbers(fact_file, tmp_path):
    with pytest.raises(InputError, match=r"asked 500 Unknown facts, the model has \d+"):
        lorepack.pack("world", fact_file, tmp_path / "run", **{**SETTINGS, "unknown": 500})
    answers = tmp_path / "run" / "probe" / "answers.parquet"
    probed = answers.stat().st_mtime_ns
    fewer = lorepack.pack("world", fact_file, tmp_path / "run", **{**SETTINGS, "unknown": 5})
    assert fewer.unknown_trained == 5
    assert answers.stat().st_mtime_ns == probed  # the corrected command used the same probe


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"answer_cap": 2.0}, "answer_cap=2.0"),
        ({"answer_cap": float("nan")}, "answer_cap=nan"),
        ({"rank": 100_000}, "rank"),
        ({"sets": ["targets=typo"]}, "typo"),
        ({"sets": ["probe.samples=3"]}, "samples given twice"),
        ({"rank": 4, "sets": ["rank=8"]}, "rank given twice"),
        ({"sets": ["probe.temperature=inf"]}, "temperature"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_the_probe(fact_file, tmp_path, wrong, message):
    with pytest.raises(InputError, match=message):
        lorepack.pack("world", fact_file, tmp_path / "run", **{**SETTINGS, **wrong})
    assert not (tmp_path / "run" / "probe").exists()


def test_a_broken_line_is_named_before_anything_runs(tmp_path):
    rows = [json.dumps({"question": f"Who is {i}?", "answer": f"Name {i}"}) for i in range(10)]
    rows[6] = rows[6][:-3]
    path = tmp_path / "facts.jsonl"
    path.write_text("\n".join(rows) + "\n")
    with pytest.raises(InputError, match=r"facts\.jsonl:7"):
        lorepack.pack("world", path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_a_file_without_facts_is_refused(tmp_path, text):
    path = tmp_path / "facts.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match="no facts"):
        lorepack.pack("world", path, tmp_path / "run")


def test_a_full_disk_is_one_line_and_keeps_what_was_finished(fact_file, tmp_path, monkeypatch):
    real = os.fsync

    def full_after_the_probe(descriptor: int) -> None:
        if (tmp_path / "run" / "mix" / "mix.json").is_file():
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full_after_the_probe)
    with pytest.raises(WriteError, match="No space left on device"):
        lorepack.pack("world", fact_file, tmp_path / "run", **SETTINGS)
    monkeypatch.setattr(os, "fsync", real)
    kept = files.sha256_of(tmp_path / "run" / "probe" / "answers.parquet")
    assert lorepack.pack("world", fact_file, tmp_path / "run", **SETTINGS).reliability is not None
    assert files.sha256_of(tmp_path / "run" / "probe" / "answers.parquet") == kept


def test_a_learning_rate_that_explodes_names_step_and_adapter(fact_file, tmp_path):
    sets = [*SETTINGS["sets"], "lr=1e30", "clip=none"]
    with pytest.raises(NumericError, match="step"):
        lorepack.pack("world", fact_file, tmp_path / "run", **{**SETTINGS, "sets": sets})


def test_ctrl_c_is_one_line_and_the_same_command_goes_on(fact_file, tmp_path):
    import signal

    command = [
        sys.executable, "-m", "lorepack", "pack", "--model", "world", "--facts", str(fact_file),
        "--out", str(tmp_path / "run"), "--unknown", "8", "--samples", "0", "--json",
        "--set", "probe.prompts=2", "--set", "epochs=2",
    ]  # fmt: skip
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stderr is not None
    for line in child.stderr:
        if '"train"' in line:
            child.send_signal(signal.SIGINT)
            break
    _, errors = child.communicate()
    assert child.returncode == 130
    assert "Traceback" not in errors
    assert "finished stages are kept" in errors
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["unknown_trained"] == 8


def test_a_missing_library_is_told_before_any_work(fact_file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match="pip install wandb"):
        lorepack.pack("world", fact_file, tmp_path / "run", log_to=["wandb"], **SETTINGS)
    assert not (tmp_path / "run").exists()


def test_sigterm_keeps_the_last_step_and_ends_with_0(fact_file, tmp_path):
    import signal

    command = [
        sys.executable, "-m", "lorepack", "pack", "--model", "world", "--facts", str(fact_file),
        "--out", str(tmp_path / "run"), "--unknown", "8", "--samples", "0", "--json",
        "--set", "probe.prompts=2", "--set", "epochs=2",
    ]  # fmt: skip
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stderr is not None
    for line in child.stderr:
        if '"train"' in line:
            child.send_signal(signal.SIGTERM)
            break
    out, errors = child.communicate()
    assert child.returncode == 0, errors
    assert "the same command goes on from there" in errors.splitlines()[-1]
    told = json.loads(out.splitlines()[-1])["stopped"]
    assert re.fullmatch(r"stopped at step \d+ of \d+", told)
    kept = int(told.split()[3])
    (place,) = (tmp_path / "run/training/checkpoint").iterdir()
    assert place.name == f"step-{kept:08d}"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first = next(json.loads(x) for x in done.stderr.splitlines() if '"train"' in x)
    assert first["done"] == kept
    assert json.loads(done.stdout.splitlines()[-1])["unknown_trained"] == 8


def test_the_demo_samples_every_split_in_proportion():
    facts = world.facts()
    chosen = sample(facts, SAMPLE, seed=0)
    assert len(chosen) == SAMPLE >= 300
    assert chosen == sample(facts, SAMPLE, seed=0) != sample(facts, SAMPLE, seed=1)
    for split in {fact.split for fact in facts}:
        share = sum(fact.split == split for fact in facts) / len(facts)
        assert abs(sum(fact.split == split for fact in chosen) - share * SAMPLE) <= 1


def test_facts_of_the_api_are_taken_as_they_are(fact_file, tmp_path):
    listed = list(room.read(fact_file))[:6]
    probed = lorepack.probe("world", listed, tmp_path, samples=0, sets=["prompts=1"])
    assert probed.facts == 6
    assert probed.ids == [fact.id for fact in listed]
