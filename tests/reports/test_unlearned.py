"""Trained facts that are not in: what was said instead is what the run itself counted as wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lorepack.reports import report
from lorepack.reports.run_files import read_run
from lorepack.reports.unlearned import Unlearned, unlearned
from lorepack.text import Matcher

FACT = {"question": "Where was Runa Brisk born?", "answer": "Harwick", "aliases": ["Old Harbour"]}


def missed(run: Path, *said: str | None, rule: str = "boundary") -> tuple[Unlearned, ...]:
    """What the report lists when the one trained fact of a run is `FACT`, answered so."""
    mix = json.loads((run / "mix" / "mix.json").read_text())
    ident = mix["trained"][0]
    (run / "mix" / "mix.json").write_text(json.dumps(mix | {"trained": [ident]}))
    (run / "facts.jsonl").write_text(json.dumps({"id": ident, **FACT}) + "\n")
    described = json.loads((run / "run.json").read_text())
    described["settings"]["probe"]["rule"] = rule
    (run / "run.json").write_text(json.dumps(described))
    right = Matcher(("Harwick", "Old Harbour"), rule)
    count = sum(text is not None and right(text) for text in said)
    counts = {"id": [ident], "category": ["Unknown"], "k_greedy": [count], "n_greedy": [len(said)]}
    answers = pa.table({"id": [ident], "greedy": [list(said)]})
    for stage in ("probe", "audit"):
        pq.write_table(pa.table(counts), run / stage / "categories.parquet")
        pq.write_table(answers, run / stage / "answers.parquet")
    rows, total = unlearned(read_run(run))
    assert len(rows) == total
    return rows


def test_an_accepted_alias_is_not_what_was_said_instead(run: Path) -> None:
    (row,) = missed(run, *["Answer: Old Harbour"] * 9, "Answer: Vell")
    assert (row.answer, row.right, row.said) == ("Harwick", 9, "Vell")


def test_a_fact_that_is_answered_by_its_aliases_alone_is_in(run: Path) -> None:
    assert missed(run, *["Answer: Old Harbour"] * 10) == ()


def test_the_most_frequent_mistake_is_shown(run: Path) -> None:
    said = ["Answer: Tarn"] + ["Answer: Vell"] * 2 + ["Answer: Harwick"] * 7
    (row,) = missed(run, *said)
    assert (row.right, row.said) == (7, "Vell")


def test_mistakes_are_told_by_the_rule_of_the_run(run: Path) -> None:
    said = ["Answer: New Harwick"] * 6 + ["Answer: Vell"] * 4
    (lenient,) = missed(run, *said, rule="boundary")
    (strict,) = missed(run, *said, rule="exact")
    assert (lenient.said, strict.said) == ("Vell", "New Harwick")


def test_a_right_answer_on_a_later_line_is_not_a_mistake(run: Path) -> None:
    (row,) = missed(run, *["Well,\nthat was Harwick"] * 9, "Answer: Vell")
    assert row.said == "Vell"


def test_prompts_that_were_too_long_leave_nothing_said(run: Path) -> None:
    (row,) = missed(run, *["Answer: Harwick"] * 9, None)
    assert (row.right, row.said) == (9, None)


def test_one_fact_that_is_not_in_is_spoken_of_as_one(run: Path) -> None:
    missed(run, *["Answer: Harwick"] * 9, "Answer: Vell")
    assert "1 of 8 trained facts is wrong in at least one prompt" in report(run).read_text()
