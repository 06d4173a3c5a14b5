"""The model card: read by hubs and by people, the same from the same files."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

from lorepack import world
from lorepack.reports import model_card, report
from lorepack.reports.card import EMBEDDED, loading, md
from lorepack.reports.details import short_name
from lorepack.reports.run_files import read_run
from lorepack.reports.verdict import verdict

from . import sample_run
from .sample_run import COLLAPSED, NOTHING, Shape


def card_of(run: Path) -> tuple[dict[str, object], str]:
    """Front matter and body."""
    text = model_card(run).read_text(encoding="utf-8")
    empty, front, body = text.split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(front), body


def name_base(run: Path, name: str) -> None:
    described = json.loads((run / "run.json").read_text())
    described["model"]["name"] = name
    (run / "run.json").write_text(json.dumps(described))


def test_the_front_matter_is_what_hubs_read(good: Path) -> None:
    front, _ = card_of(good)
    assert front["base_model"] == "world"
    assert front["library_name"] == "peft"
    assert {"lora", "knowledge"} <= set(front["tags"])  # type: ignore[call-overload]


def test_it_carries_the_sentence_and_the_measured_harm(good: Path) -> None:
    _, body = card_of(good)
    found = read_run(good)
    assert verdict(found.audit).sentence in body
    negative, others = found.audit.shifts.untrained.negative, found.audit.others
    assert f"| Not in the mix (spill-over): worse | {negative.count} of {others} |" in body
    assert "facts that were not in the mix (neither trained nor rehearsed)" in body
    assert "trained on 60 facts that its base did not know, with 60 known facts rehearsed." in body
    assert f"{found.audit.neutral.kl:#.3g}" in body  # type: ignore[union-attr]
    assert dict(found.hashes)["adapter/adapter_model.safetensors"] in body
    for part in ("## Measured harm", "## How to load it", "## Recipe", "## Data", "## Limits"):
        assert part in body


def test_a_bad_adapter_says_so(tmp_path: Path) -> None:
    _, body = card_of(sample_run.write_run(tmp_path / "run", COLLAPSED))
    assert "**Answer collapse.**" in body
    assert "Learned at little cost" not in body


def test_an_adapter_of_nothing_says_so(tmp_path: Path) -> None:
    _, body = card_of(sample_run.write_run(tmp_path / "run", NOTHING))
    assert "trained on no facts" in body
    assert "Other wordings of the trained questions were not measured" in body


def test_times_and_the_report_leave_it_alone(run: Path) -> None:
    first = model_card(run).read_bytes()
    report(run)
    (run / "timing.json").write_text('{"seconds": {"train": 99.0}, "device": "cuda:7"}')
    assert model_card(run).read_bytes() == first
    (run / "timing.json").unlink()
    assert model_card(run).read_bytes() == first


@pytest.mark.parametrize("base", ["world", "org/model", "./here/model", 'odd"name'])
def test_loading_takes_five_lines_of_python(base: str) -> None:
    lines = loading(base)
    assert len(lines) == 5
    ast.parse("\n".join(lines))


def test_it_knows_the_models_that_ship() -> None:
    assert EMBEDDED == world.NAMES


def test_folders_of_this_machine_stay_out_of_it(run: Path) -> None:
    name_base(run, "/home/someone/secret/stories260K")
    front, body = card_of(run)
    assert front["base_model"] == "stories260K"
    assert "/home/someone" not in body
    assert "/home/someone" not in report(run).read_text()


@pytest.mark.parametrize(
    ("name", "short"),
    [("org/model", "org/model"), ("world", "world"), ("../a/b/model", "model"),
     ("/a/model/", "model"), ("C:\\a\\model", "model")],
)  # fmt: skip
def test_hub_ids_stay_whole_and_paths_do_not(name: str, short: str) -> None:
    assert short_name(name) == short


def test_names_cannot_break_its_markup(run: Path) -> None:
    name_base(run, "x`](javascript:alert(1)) <script>\n---\n# fake: |")
    front, body = card_of(run)
    assert front["base_model"] == "x`](javascript:alert(1)) <script> --- # fake: |"
    unescaped = re.sub(r"\\.", "", body)
    prose = re.sub(r"```.*?```|`[^`]*`", "", unescaped, flags=re.S)
    assert "<script>" not in prose
    assert "\n# fake" not in body


def test_relations_cannot_break_its_markup(tmp_path: Path) -> None:
    strange = dict.fromkeys(range(20), "|<b>\n# head `x")
    run = sample_run.write_run(tmp_path / "run", Shape(facts=60, trained=4, strange=strange))
    _, body = card_of(run)
    assert "<b>" not in body
    assert "\n# head" not in body
    assert r"\|\<b\> \# head \`x" in body


def test_its_tables_are_whole(good: Path) -> None:
    _, body = card_of(good)
    for block in re.findall(r"(?:^\|.*\n)+", body, re.M):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block


def test_markdown_is_shown_as_it_is() -> None:
    assert md("a_b *c* <d>\n[e](f) & | #g") == r"a\_b \*c\* \<d\> \[e\](f) &amp; \| \#g"
