"""A run that is not whole: one error that names the file and what to run again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lorepack.errors import InputError, LorepackError, NotFoundError
from lorepack.reports import model_card, report, summary

from . import sample_run

REQUIRED = {
    "run.json": "lorepack pack",
    "facts.jsonl": "lorepack pack",
    "probe/probe.json": "the probe",
    "mix/mix.json": "the mix",
    "training/train.jsonl": "the training",
    "adapter/lorepack.json": "the training",
    "adapter/adapter_config.json": "the training",
    "audit/audit.json": "lorepack audit",
    "audit/categories.parquet": "lorepack audit",
    "audit/answers.parquet": "lorepack audit",
}
OPTIONAL = ("training/epochs.json", "training/result.json", "timing.json")


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_file_is_named_with_its_stage(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(NotFoundError, match=re.escape(name)) as caught:
        report(run)
    assert REQUIRED[name] in str(caught.value)
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("name", [*REQUIRED, *OPTIONAL])
def test_a_file_cut_in_half_is_named_with_its_stage(run: Path, name: str) -> None:
    content = (run / name).read_bytes()
    (run / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=re.escape(name)) as caught:
        report(run)
    message = str(caught.value)
    assert "run again" in message
    assert "\n" not in message
    assert REQUIRED.get(name, "lorepack pack") in message


def test_a_log_without_its_last_line_end_is_cut_off(run: Path) -> None:
    path = run / "training" / "train.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"train\.jsonl: line \d+ is cut off"):
        report(run)


@pytest.mark.parametrize(
    "name",
    ["mix/mix.jsonl", "training/train.jsonl", "audit/answers.parquet",
     "adapter/adapter_model.safetensors"],
)  # fmt: skip
def test_a_file_unlike_its_manifest_is_not_trusted(tmp_path: Path, name: str) -> None:
    run = sample_run.write_run(tmp_path / "run")
    lines = (run / name).read_bytes().splitlines(keepends=True)
    (run / name).write_bytes(b"".join(lines[:-1]))
    for make in (report, model_card):
        with pytest.raises(InputError, match=rf"{re.escape(name)}: cut off or changed"):
            make(run)


def test_a_manifest_of_another_kind_is_refused(run: Path) -> None:
    (run / "audit" / "manifest.json").write_text('{"files": ["audit.json"]}')
    with pytest.raises(InputError, match=r"audit/manifest\.json: not a manifest"):
        report(run)


def test_a_changed_number_is_not_trusted(tmp_path: Path) -> None:
    run = sample_run.write_run(tmp_path / "run")
    path = run / "audit" / "audit.json"
    path.write_text(path.read_text().replace('"kl": 0.031', '"kl": 0.001'))
    with pytest.raises(InputError, match=r"audit\.json: cut off or changed"):
        report(run)


@pytest.mark.parametrize("name", ["run.json", "audit/audit.json", "training/epochs.json"])
def test_a_file_of_another_kind_is_refused(run: Path, name: str) -> None:
    (run / name).write_text('"text"\n')
    with pytest.raises(InputError, match=re.escape(name)):
        report(run)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"schema": 2}, "schema"),
        ({"facts": -1}, "facts"),
        ({"transitions": {"all": [[0] * 4] * 3}}, "transitions.all"),
        ({"reliability": {"mean": 1.2, "facts": 3, "prompts": 10}}, "reliability.mean"),
        ({"shifts": None}, "shifts"),
        ({"neutral": {"kl": "low"}}, "neutral.kl"),
    ],
)
def test_an_impossible_audit_is_refused_by_its_key(
    run: Path, change: dict[str, Any], where: str
) -> None:
    path = run / "audit" / "audit.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    for make in (report, model_card, summary):
        with pytest.raises(InputError, match=rf"audit\.json: {re.escape(where)}"):
            make(run)


def test_sets_that_do_not_add_up_are_refused(run: Path) -> None:
    path = run / "audit" / "audit.json"
    audit = json.loads(path.read_text())
    audit["transitions"]["untrained"][0][0] += 1
    path.write_text(json.dumps(audit))
    with pytest.raises(InputError, match=r"audit\.json: transitions: .* do not add up to all"):
        report(run)


def test_facts_that_lack_a_trained_one_are_refused(run: Path) -> None:
    trained = json.loads((run / "mix" / "mix.json").read_text())["trained"][0]
    path = run / "facts.jsonl"
    rows = path.read_text().splitlines(keepends=True)
    path.write_text("".join(row for row in rows if trained not in row))
    with pytest.raises(InputError, match=rf"facts\.jsonl: lacks trained fact {trained}"):
        report(run)


def test_a_matching_rule_that_is_not_there_is_refused(run: Path) -> None:
    described = json.loads((run / "run.json").read_text())
    described["settings"]["probe"]["rule"] = "loose"
    (run / "run.json").write_text(json.dumps(described))
    with pytest.raises(InputError, match=r"run\.json: no matching rule 'loose'"):
        report(run)


def test_nan_is_not_a_figure(run: Path) -> None:
    path = run / "audit" / "audit.json"
    audit = json.loads(path.read_text())
    audit["neutral"]["kl"] = float("nan")
    path.write_text(json.dumps(audit))
    with pytest.raises(InputError, match=r"neutral\.kl"):
        report(run)


def test_a_step_without_a_loss_is_named_by_its_line(run: Path) -> None:
    with open(run / "training" / "train.jsonl", "a") as handle:
        handle.write('{"step": 999, "loss": null}\n')
    lines = (run / "training" / "train.jsonl").read_text().count("\n")
    with pytest.raises(InputError, match=rf"line {lines}\b.*no loss"):
        report(run)


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(LorepackError, match="no such run folder"):
        report(tmp_path / "nowhere")


def test_a_report_is_replaced_whole(run: Path) -> None:
    (run / "report.html").write_text("old")
    report(run)
    assert (run / "report.html").read_text().endswith("</html>\n")
    assert not list(run.glob(".*partial"))
