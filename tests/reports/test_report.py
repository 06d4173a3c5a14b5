"""report.html: one file, offline, safe, the same from the same files, and nothing made up."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from lorepack.reports import report
from lorepack.reports.charts import POINTS, thinned
from lorepack.reports.page import cell, embedded

from . import sample_run
from .sample_run import BARE, COLLAPSED, NOTHING, Shape

EVIL = "</td></script><script>window.pwned=1</script><img src=x onerror=alert(1)> & \"'"


SCRIPTS = 5
"""answers, figures, the chart library, the script of the charts and that of the answer browser"""


class Page(HTMLParser):
    """The elements of a page, its text by section, and what it would load."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.section = "head"
        self.texts: dict[str, str] = {}
        self.raw: list[str] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self.section = str(dict(attrs)["id"])
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style"):
            self.raw.append(data)
        else:
            self.texts[self.section] = self.texts.get(self.section, "") + data + " "

    @property
    def figures(self) -> dict[str, Any]:
        return json.loads(next(text for text in self.raw if text.startswith('{"chart')))


def page_of(run: Path) -> Page:
    return Page(report(run).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(good: Path) -> Page:
    return page_of(good)


def test_it_is_one_file_of_at_most_10_mb(good: Path) -> None:
    path = report(good)
    assert path == good / "report.html"
    assert path.stat().st_size <= 10 * 1024 * 1024


def test_it_loads_nothing(page: Page, good: Path) -> None:
    loading = {"src", "href", "srcset", "poster", "data", "action", "background"}
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        assert not loading & attributes.keys(), (tag, attributes)
    html = (good / "report.html").read_text()
    style = html[html.index("<style>") : html.index("</style>")]
    assert not re.search(r"@import|url\(", style)
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_the_same_files_give_the_same_bytes(good: Path, tmp_path: Path) -> None:
    first = report(good).read_bytes()
    assert report(good).read_bytes() == first
    other = shutil.copytree(good, tmp_path / "elsewhere")
    assert report(other).read_bytes() == first


def test_timings_reach_the_durations_and_nothing_else(run: Path) -> None:
    before = report(run).read_text()
    timing = json.loads((run / "timing.json").read_text())
    timing["seconds"]["train"] = 7650.0
    (run / "timing.json").write_text(json.dumps(timing))
    after = report(run).read_text()
    changed = [b for a, b in zip(before.split("\n"), after.split("\n"), strict=True) if a != b]
    assert len(changed) == 1
    assert "2\u202fh 07\u202fmin" in changed[0]


def test_text_of_the_facts_is_never_markup(tmp_path: Path) -> None:
    strange = dict.fromkeys(range(120), EVIL)
    everywhere = Shape(facts=120, trained=15, learned=0.2, worse=1.0, strange=strange)
    run = sample_run.write_run(tmp_path / "run", everywhere)
    page = page_of(run)
    assert {tag for tag, _ in page.tags} & {"img"} == set()
    assert sum(tag == "script" for tag, _ in page.tags) == SCRIPTS
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert not any("pwned" in text for text in page.raw)
    plain = " ".join(EVIL.split())
    for section in ("learning", "relations", "losses", "side-effects"):
        assert plain in " ".join(page.texts[section].split()), section


def test_text_of_models_and_settings_is_never_markup(run: Path) -> None:
    described = json.loads((run / "run.json").read_text())
    described["model"]["name"] = described["settings"]["recipe"]["schedule"] = EVIL
    (run / "run.json").write_text(json.dumps(described))
    page = page_of(run)
    assert sum(tag == "script" for tag, _ in page.tags) == SCRIPTS
    assert "img" not in {tag for tag, _ in page.tags}
    assert EVIL in page.texts["settings"]


def test_embedded_json_cannot_end_its_script() -> None:
    text = str(embedded({"a": EVIL, "b": "<!--"}))
    assert not set("<>&") & set(text)
    assert json.loads(text) == {"a": EVIL, "b": "<!--"}


def test_every_chart_is_a_valid_figure_in_its_place(page: Page) -> None:
    places = {a["id"] for t, a in page.tags if t == "div" and a.get("class") == "chart"}
    assert page.figures.keys() == places == {"chart-loss", "chart-epochs"}
    for figure in page.figures.values():
        colored = re.sub(r'"@[a-z]+"', '"#123456"', json.dumps(figure))
        go.Figure(json.loads(colored))  # raises on any property Plotly does not know


def test_every_colour_of_a_chart_is_in_the_style_sheet(page: Page) -> None:
    used = set(re.findall(r'"@([a-z]+)"', json.dumps(page.figures)))
    style = next(text for text in page.raw if "--paper" in text)
    assert used
    assert used <= set(re.findall(r"--([a-z]+):", style))


def test_flows_and_matrices_show_the_counts_of_the_audit(page: Page, good: Path) -> None:
    audit = json.loads((good / "audit" / "audit.json").read_text())
    text = page.texts["categories"]
    for when in ("before", "after"):
        for name, number in audit["categories"][when].items():
            share = f"{100 * number / audit['facts']:.1f}"
            assert re.search(rf"{name}\s+{number} · {re.escape(share)}\u202f%", text)
    text = page.texts["transitions"]
    for name in ("all", "trained", "rehearsed", "untrained"):
        for row in audit["transitions"][name]:
            for number in filter(None, row):
                share = f"{100 * number / sum(row):.1f}".replace("100.0", "100")
                assert re.search(rf"\b{number}\s+{re.escape(share)}\u202f%", text)


def test_every_section_has_something_to_say(page: Page, good: Path) -> None:
    assert set(page.texts) == {"head", "categories", "transitions", "learning", "side-effects",
                               "relations", "answers", "losses", "settings"}  # fmt: skip
    audit = json.loads((good / "audit" / "audit.json").read_text())
    for loss in audit["losses"]:
        assert loss["question"] in page.texts["losses"]
        assert loss["answer_after"] in page.texts["losses"]
    for name in audit["by_relation"]:
        assert name in page.texts["relations"]
    assert audit["answers"]["top_after"][0][0] in page.texts["side-effects"]
    assert "2.13.0" in page.texts["settings"]
    assert "not measured" not in " ".join(page.texts.values())


def test_the_sets_of_facts_add_up(page: Page) -> None:
    for section in ("categories", "transitions"):
        text = page.texts[section]
        sizes = [
            int(found[1])
            for name in (
                "All",
                "Trained",
                r"Rehearsed \(known facts in the mix\)",
                "Not in the mix",
            )
            if (found := re.search(rf"{name}\s+(\d+)\sfacts", text))
        ]
        assert sizes == [612, 60, 60, 492], section


def test_sets_without_facts_in_them_are_left_out(run: Path) -> None:
    text = " ".join(page_of(run).texts.values())
    assert "Rehearsed" not in text
    assert "rehearsed or not in the mix" not in text


def test_spill_over_is_defined_once_and_for_all(page: Page) -> None:
    words = "facts that were not in the mix (neither trained nor rehearsed)"
    assert words in page.texts["transitions"]
    assert words in page.texts["settings"]  # the footer
    everything = " ".join(page.texts.values())
    assert "of 492 facts not in the mix" in everything
    assert "not trained" not in everything.replace("wordings that were not trained", "")


def test_a_rehearsed_fact_that_fell_is_marked_among_the_losses(page: Page, good: Path) -> None:
    known = set(json.loads((good / "mix" / "mix.json").read_text())["known"])
    audit = json.loads((good / "audit" / "audit.json").read_text())
    fallen = [loss for loss in audit["losses"] if loss["id"] in known]
    assert 0 < len(fallen) < len(audit["losses"])
    marked = re.findall(r"(\S+)\s+rehearsed\b", page.texts["losses"].split("answers.")[1])
    assert marked == [loss["question"].split()[-1] for loss in fallen]


def test_what_the_stages_remarked_stands_on_the_first_screen(run: Path) -> None:
    for name, key, remark in (
        ("probe/probe.json", "notes", "/home/someone/facts.csv: 3 repeated facts set aside"),
        ("mix/mix.json", "warnings", "answer 'a/b/c: d' stands for 5 of 8 Unknown facts"),
        ("audit/audit.json", "notes", "no neutral text"),
    ):
        found = json.loads((run / name).read_text())
        (run / name).write_text(json.dumps(found | {key: [remark]}))
    page = page_of(run)
    assert " facts.csv: 3 repeated facts set aside " in " ".join(page.texts["head"].split())
    assert "answer 'a/b/c: d' stands for 5 of 8" in page.texts["head"]
    assert "no neutral text" in page.texts["head"]
    assert "/home/someone" not in (run / "report.html").read_text()


def test_device_and_dtype_are_shown_where_they_are_known(run: Path) -> None:
    text = " ".join(page_of(run).texts["settings"].split())
    assert "Model name world device cpu dtype float32" in text
    (run / "timing.json").unlink()
    assert " device " not in page_of(run).texts["settings"]


def test_parts_that_are_not_there_are_not_measured(tmp_path: Path) -> None:
    run = sample_run.write_run(tmp_path / "run", BARE)
    sample_run.forget_manifests(run)
    audit = json.loads((run / "audit" / "audit.json").read_text())
    audit |= {"refusals": None, "answers": None, "by_relation": {}}
    (run / "audit" / "audit.json").write_text(json.dumps(audit))
    (run / "timing.json").unlink()
    (run / "training" / "epochs.json").unlink()
    page = page_of(run)
    assert "chart-epochs" not in page.figures
    for section in ("learning", "side-effects", "relations", "settings"):
        assert "not measured" in page.texts[section], section


def test_without_samples_nothing_is_said_to_be_measured_by_them(run: Path, page: Page) -> None:
    described = json.loads((run / "run.json").read_text())
    described["settings"]["probe"]["samples"] = 0
    (run / "run.json").write_text(json.dumps(described))
    words = "No answers were sampled here"
    assert words in page_of(run).texts["categories"]
    assert words not in page.texts["categories"]


def test_trained_facts_that_are_not_in_are_listed_worst_first(tmp_path: Path) -> None:
    run = sample_run.write_run(tmp_path / "run", Shape(facts=200, trained=40, learned=0.8))
    text = page_of(run).texts["learning"]
    found = re.search(r"(\d+) of 40 trained facts are wrong", text)
    assert found
    audit = json.loads((run / "audit" / "audit.json").read_text())
    in_all = audit["transitions"]["trained"][3][0]
    assert int(found[1]) == 40 - in_all > 0
    right = [int(k) for k in re.findall(r"(\d+) of 10\b", text)]
    assert right == sorted(right)
    assert len(right) == int(found[1])


def test_a_collapse_is_on_the_first_screen(tmp_path: Path) -> None:
    page = page_of(sample_run.write_run(tmp_path / "run", COLLAPSED))
    assert "its answers collapsed" in page.texts["head"]
    assert "Answer collapse." in page.texts["head"]


def test_a_run_that_trained_nothing_still_has_a_report(tmp_path: Path) -> None:
    run = sample_run.write_run(tmp_path / "run", NOTHING)
    page = page_of(run)
    assert sum(attributes.get("class") == "flow" for _, attributes in page.tags) == 2
    assert "no facts in this set" in page.texts["categories"]
    assert "no training step" in page.texts["learning"]


def test_many_relations_and_steps_stay_readable(run: Path) -> None:
    path = run / "audit" / "audit.json"
    audit = json.loads(path.read_text())
    counts = {"HighlyKnown": 1, "MaybeKnown": 0, "WeaklyKnown": 0, "Unknown": 0}
    audit["by_relation"] = {
        f"relation {n:05}": {"facts": n, "before": counts, "after": counts} for n in range(20_000)
    }
    path.write_text(json.dumps(audit))
    steps = ({"step": n, "epoch": 1, "loss": 1.0 / (n + 1), "lr": 1, "tokens": 1} for n in
             range(50_000))  # fmt: skip
    (run / "training" / "train.jsonl").write_text("".join(json.dumps(s) + "\n" for s in steps))
    page = page_of(run)
    assert "The 200 largest of 20,000 relations" in page.texts["relations"]
    assert "relation 19999" in page.texts["relations"]
    assert len(page.figures["chart-loss"]["data"][0]["x"]) <= POINTS
    assert "each point the mean of 84" in page.texts["learning"]
    assert (run / "report.html").stat().st_size <= 10 * 1024 * 1024


def test_thinning_keeps_the_mean() -> None:
    points, block = thinned([(float(x), float(x % 7)) for x in range(4200)])
    assert (len(points), block) == (600, 7)
    assert {y for _, y in points} == {3.0}
    assert thinned([(1.0, 0.5)]) == ([(1.0, 0.5)], 1)


def test_cells_are_coloured_by_direction_and_share() -> None:
    matrix = ((0, 0, 0, 0), (1, 0, 0, 99), (0, 0, 5, 0), (50, 0, 0, 50))
    assert cell(matrix, 0, 0) == {"count": 0, "share": None, "class": "same l0"}
    assert cell(matrix, 1, 0)["class"] == "better l1"
    assert cell(matrix, 1, 3)["class"] == "worse l4"
    assert cell(matrix, 2, 2)["class"] == "same l4"
    assert cell(matrix, 3, 0)["share"] == 0.5


def luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(page: Page, scheme: int) -> None:
    """WCAG 2.2, 1.4.3: at least 4.5 to 1."""
    style = next(text for text in page.raw if "--paper" in text)
    block = re.findall(r":root \{(.*?)\}", style, re.S)[scheme]
    colors = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", block))
    pairs = [(ink, ground) for ink in ("ink", "muted") for ground in ("paper", "surface")]
    pairs += [(name, f"{name}-soft") for name in ("good", "mixed", "bad")]
    moves = ("better", "worse", "same")
    pairs += [("on", f"{move}-{level}") for move in moves for level in (1, 2, 3)]
    pairs += [("deep", "better-4"), ("deep", "worse-4"), ("on", "same-4")]
    for ink, ground in pairs:
        assert contrast(colors[ink], colors[ground]) >= 4.5, (ink, ground)
