"""Causes, budget, harm, guess floor, weights: what the files say, and nothing without them."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from lorepack import files
from lorepack.errors import InputError
from lorepack.reports import budget_file, causes, harm_tables, model_card, report, summary
from lorepack.reports.audit_file import parse
from lorepack.reports.card import md
from lorepack.reports.causes_file import Cause
from lorepack.reports.drift_file import Weights
from lorepack.reports.frontier import frontier
from lorepack.reports.harm_file import Harm
from lorepack.reports.page import template
from lorepack.reports.run_files import read_run
from lorepack.reports.verdict import verdict
from lorepack.reports.weights_map import weight_map

from . import full_run, sample_run

EVIL = "</script><script>window.pwned=1</script><img src=x>"
NEW = ("causes", "budget", "harm", "floor")


def parts_of(html: str) -> dict[str, str]:
    """The text of every section by its id; every space, narrow ones too, is one plain space."""
    found = re.findall(r'<section id="([a-z-]+)">(.*?)</section>', html, re.S)
    return {name: " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split()) for name, body in found}


@pytest.fixture(scope="module")
def html(full: Path) -> str:
    return report(full).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sections(html: str) -> dict[str, str]:
    return parts_of(html)


@pytest.fixture(scope="module")
def audit(full: Path) -> dict[str, Any]:
    return json.loads((full / "audit" / "audit.json").read_text())


def percent(share: float) -> str:
    return f"{100 * share:.1f}".replace("100.0", "100") if share else "0"


def signed(number: float) -> str:
    text = f"{number:+.3f}".replace("-", "−")
    return "0" if text[1:] == "0.000" else text


def test_a_run_without_the_new_parts_has_none_of_their_sections(good: Path) -> None:
    html = report(good).read_text()
    assert not set(NEW) & parts_of(html).keys()
    assert 'data-cause="' not in html
    assert "Most changed tokens" not in html
    assert "Change of the weights" not in html


def test_keys_that_are_null_are_as_good_as_absent(good: Path, tmp_path: Path) -> None:
    run = sample_run.write_run(tmp_path / "run", sample_run.GOOD)
    sample_run.forget_manifests(run)
    first = parts_of(report(run).read_text())
    path = run / "audit" / "audit.json"
    keys = ("causes", "controls", "weights", "applied", "by_popularity", "by_frequency")
    value = json.loads(path.read_text()) | dict.fromkeys(keys)
    value["neutral"]["most_changed"] = None
    files.write_json(path, value)
    second = parts_of(report(run).read_text())
    del first["settings"], second["settings"]  # they hold the hash of the file
    assert first == second


def test_every_cause_stands_beside_its_chance(
    sections: dict[str, str], audit: dict[str, Any]
) -> None:
    worse, better = sections["causes"].split("Got better:")
    for text, side in ((worse, "negative"), (better, "positive")):
        found = audit["causes"][side]
        assert f"{found['unexplained']} unexplained" in text
        for label, one in found["labels"].items():
            name, meaning = causes.WORDS[label]
            chance = f"{percent(one['chance'])} % ({percent(one['low'])} % to"
            row = f"{name} {meaning} {one['count']} {percent(one['share'])} %"
            flat = text.replace("\u202f", " ")
            assert row in flat
            assert chance in flat[flat.index(row) :]
    assert "here above 320 times" in sections["causes"]
    assert re.search(r"Harwick 31 940\b", sections["causes"])


def test_causes_beyond_luck_come_first_and_are_marked(full: Path, html: str) -> None:
    found = read_run(full).audit.causes
    assert found is not None
    for part in causes.parts(found):
        above = [(row.cause.share or 0) - (row.cause.chance or 0) for row in part.rows]
        assert above == sorted(above, reverse=True)
        for row in part.rows:
            assert row.cause.beyond_luck == (row.cause.share > row.cause.high)  # type: ignore[operator]
            assert row.cause.high is None or row.cause.high <= part.reach
    marked = sum(row.cause.beyond_luck for part in causes.parts(found) for row in part.rows)
    assert html.count('<i class="dot beyond" style') == marked > 0


@pytest.mark.parametrize(("share", "beyond"), [(0.5, False), (0.6, False), (0.61, True)])
def test_more_than_the_mean_of_luck_is_not_yet_more_than_luck(share: float, beyond: bool) -> None:
    cause = Cause(count=1, share=share, chance=0.4, low=0.2, high=0.6, p=0.3)
    assert cause.beyond_luck is beyond
    assert not Cause(count=1, share=share).beyond_luck


def test_a_cause_that_has_no_words_yet_is_shown_by_its_label(audit: dict[str, Any]) -> None:
    value = json.loads(json.dumps(audit))
    value["causes"]["positive"]["labels"] = {"moon_phase": {"count": 1, "share": 0.5}}
    found = parse(value).causes
    assert found is not None
    (row,) = causes.parts(found)[1].rows
    assert (row.name, row.chance, row.p) == ("Moon phase", "not measured", "not measured")


def test_every_colour_of_the_frontier_is_in_the_style_sheet(full: Path) -> None:
    drawn = json.dumps(frontier(json.loads((full / "budget" / "budget.json").read_text())))
    used = set(re.findall(r'"@([a-z]+)"', drawn))
    assert used <= set(re.findall(r"--([a-z]+):", template("style.css")))
    assert used >= {"after", "ink"}


def test_a_budget_that_was_not_held_is_said_first(full: Path, sections: dict[str, str]) -> None:
    found = read_run(full)
    said = verdict(found.audit, found.budget)
    assert said.cautions[0].name == "Budget not held"
    assert said.status == "mixed"
    assert said.label.startswith("Budget not held")
    assert "not held" in summary(full).cautions[0]
    assert "The budget was not held." in sections["budget"]
    assert re.search(r"facts that got worse ≤ 4\.0.% [\d.]+.% [\d.]+.% no\b", sections["budget"])


def test_a_budget_that_was_held_is_praised_by_its_numbers_only(full: Path) -> None:
    value = json.loads((full / "budget" / "budget.json").read_text())
    for one in value["test"]["measures"].values():
        one["held"] = True
    budget = budget_file.parse(value | {"held": True})
    text = budget_file.sentence(budget)
    assert text.startswith("**The budget was held.** Strength ")
    assert "not held" not in text
    assert "(limit ≤ 4.0\u202f%)" in text
    assert "(limit ≥ −0.01)" in text
    assert verdict(parse(_audit(full)), budget).status == "good"
    without = budget_file.parse(value | {"chosen": None, "test": None, "held": False})
    assert "No checkpoint and strength stays within the limits" in budget_file.sentence(without)


def _audit(full: Path) -> Any:
    value = json.loads((full / "audit" / "audit.json").read_text())
    value["shifts"]["untrained"]["negative"]["count"] = 0
    return value


def test_harm_shows_every_adapter_with_its_interval(full: Path, sections: dict[str, str]) -> None:
    value = json.loads((full / "harm" / "harm.json").read_text())
    rows = harm_tables.rows(Harm.model_validate(value))
    assert len(rows) == sum(
        len(m["adapters"]) for t in value["tasks"].values() for m in t["metrics"].values()
    )
    for row in rows:
        one = value["tasks"][row.task]["metrics"][row.metric]["adapters"][row.adapter]
        low = one["delta"] - 1.96 * one["delta_stderr"]
        high = one["delta"] + 1.96 * one["delta_stderr"]
        assert row.interval == f"{signed(low)} to {signed(high)}"
        assert (row.change == "worse") == (high < 0)
        assert row.place is not None
        left, middle, right = row.place
        assert 0 <= left <= middle <= right <= 100
        assert (left < 50) == (low < 0)
        assert row.delta in sections["harm"]
    assert "22 dropped" in sections["harm"]


def test_a_rise_in_perplexity_is_worse_and_scales_are_not_mixed() -> None:
    score = {"value": 9.0, "stderr": 0.1, "delta": 1.0, "delta_stderr": 0.1}
    small = {"value": 0.4, "stderr": 0.1, "delta": 0.02, "delta_stderr": 0.001}
    harm = Harm.model_validate(
        {"schema": 1, "tasks": {"a": {"metrics": {
            "word_perplexity": {"base": {"value": 8.0}, "adapters": {"x": score}},
            "acc": {"base": {"value": 0.38}, "adapters": {"x": small}},
        }}}}
    )  # fmt: skip
    acc, perplexity = harm_tables.rows(harm)
    assert (acc.change, perplexity.change) == ("better", "worse")
    assert acc.place is not None
    assert acc.place[2] == pytest.approx(99)


def test_the_floor_stands_beside_the_facts(sections: dict[str, str], audit: dict[str, Any]) -> None:
    text = sections["floor"].replace("\u202f", " ")
    before = audit["controls"]["before"]
    share = percent(audit["categories"]["before"]["Unknown"] / audit["facts"])
    assert f"Unknown {share} % {percent(before['categories']['Unknown'])} %" in text
    assert "Before 51.0 % 6.0 % 48.0 % 45.0 % to 51.0 % 160" in text
    floors = [one["floor"] for one in before["by_relation"].values()]
    assert f"{percent(max(floors))} %" in text


def test_relations_and_buckets_show_their_shares(
    sections: dict[str, str], audit: dict[str, Any]
) -> None:
    text = sections["relations"].replace("\u202f", " ")
    for name, one in audit["by_relation"].items():
        known = [1 - one[when]["Unknown"] / one["facts"] for when in ("before", "after")]
        moved = [one[way] / one["facts"] for way in ("positive", "negative")]
        shares = " ".join(f"{percent(share)} %" for share in (*known, *moved))
        reliability = one["reliability"]
        shares += " –" if reliability is None else f" {percent(reliability)} %"
        assert f"{name} {one['facts']} {shares}" in text
    assert "By popularity" in text
    assert "torso 75" in text


def test_tokens_are_shown_with_their_spaces_and_never_as_markup(
    html: str, sections: dict[str, str]
) -> None:
    assert "␣the" in sections["side-effects"]
    assert "⏎" in sections["side-effects"]
    assert "&lt;b&gt;" in html


def test_weights_are_a_map_of_layers_and_modules(audit: dict[str, Any]) -> None:
    found = weight_map(Weights.model_validate(audit["weights"]))
    assert found is not None
    assert found.kinds == full_run.KINDS
    assert [name for name, _ in found.layers] == [str(n) for n in range(6)]
    sizes = {one["name"]: one["relative"] for one in audit["weights"]["modules"]}
    cells = [cell for _, row in found.layers for cell in row if cell is not None]
    most = max(sizes, key=sizes.get)  # type: ignore[arg-type]
    (deepest,) = (cell for cell in cells if cell.title.startswith(f"{most}:"))
    assert deepest.css == "better l4"
    assert len(cells) == len(sizes)


def test_modules_that_are_missing_leave_their_cell_empty() -> None:
    module = {"norm": 1.0, "rank": 2}
    modules = [
        {**module, "name": "head", "layer": None, "kind": "lm_head"},
        {**module, "name": "a", "layer": 3, "kind": "up_proj", "norm": 0.0},
    ]
    found = weight_map(Weights.model_validate({"modules": modules}))
    assert found is not None
    assert found.kinds == ("up_proj", "lm_head")
    assert not found.relative
    (three, (up, none)), (other, _) = found.layers
    assert (three, other, none) == ("3", "other", None)
    assert up is not None
    assert up.css.endswith("l0")
    assert weight_map(Weights()) is None


def test_names_from_other_tools_are_never_markup(full: Path, tmp_path: Path) -> None:
    run = full_run.write_run(tmp_path / "run")
    harm = json.loads((run / "harm" / "harm.json").read_text())
    harm["tasks"] = {EVIL: harm["tasks"]["mmlu"]}
    files.write_json(run / "harm" / "harm.json", harm)
    audit = json.loads((run / "audit" / "audit.json").read_text())
    audit["causes"]["explosion"]["answers"] = [[EVIL, 2, 1]]
    audit["causes"]["explosion"]["rule"] = EVIL
    audit["neutral"]["most_changed"][0]["token"] = EVIL
    audit["by_popularity"][0]["bucket"] = EVIL
    audit["weights"]["modules"][0]["kind"] = EVIL
    files.write_json(run / "audit" / "audit.json", audit)
    html = report(run).read_text()
    assert "<script>window.pwned" not in html
    assert "<img" not in re.sub(r"<script.*?</script>", "", html, flags=re.S)
    assert not re.search(r"(?<!\\)<(img|script)", model_card(run).read_text())


@pytest.mark.parametrize(
    ("name", "change", "where"),
    [
        ("harm/harm.json", {"tasks": {"a": {"items": -1}}}, r"tasks\.a\.items"),
        ("harm/harm.json", {"schema": 2}, "schema"),
        ("budget/budget.json", {"chosen": 99}, "chosen 99 is none of 24 points"),
        ("bits.json", {"parameters": None}, "parameters"),
    ],
)
def test_a_file_that_is_no_result_is_named(
    tmp_path: Path, name: str, change: dict[str, Any], where: str
) -> None:
    run = full_run.write_run(tmp_path / "run")
    files.write_json(run / name, json.loads((run / name).read_text()) | change)
    with pytest.raises(InputError, match=rf"{re.escape(name)}: .*{where}"):
        report(run)
    (run / name).write_text("{")
    with pytest.raises(InputError, match=rf"{re.escape(name)}: .*cut off"):
        report(run)


def test_the_card_carries_harm_budget_causes_floor_and_bits(full: Path) -> None:
    body = model_card(full).read_text()
    found = read_run(full)
    assert found.budget is not None
    assert f"**The budget was not held.** {md(budget_file.outcome(found.budget))}" in body
    assert "## Outside harm" in body
    assert "| mmlu, world | acc | 0.400 ± 0.012 |" in body
    assert "Causes of spill-over that explain more than luck: got worse, " in body
    assert "questions about subjects that do not exist, which leaves 48.0 % known" in body
    assert "18,400 bits, 2.00 a parameter of a possible 2.17; false recall 23.0 %" in body
    assert "Outside these facts only the tasks above and drift" in body
    assert "Benchmarks outside these facts were not run" not in body


def test_a_card_without_them_says_that_nothing_outside_was_measured(good: Path) -> None:
    body = model_card(good).read_text()
    assert "Benchmarks outside these facts were not run" in body
    for words in ("## Outside harm", "## Harm budget", "spill-over that explain", "bits"):
        assert words not in body


def test_shifts_carry_their_intervals_where_there_are_any(full: Path, tmp_path: Path) -> None:
    run = full_run.write_run(tmp_path / "run")
    value = json.loads((run / "audit" / "audit.json").read_text())
    value["shifts"]["untrained"]["negative"] |= {"low": 0.015, "high": 0.123}
    files.write_json(run / "audit" / "audit.json", value)
    assert "(1.5 % to 12.3 %)" in parts_of(report(run).read_text())["transitions"]
