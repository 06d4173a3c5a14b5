"""The published analysis gives the published figures, and makes the published errors."""

from __future__ import annotations

from collections import Counter

import pytest

from lorepack.auditing.paper_mode import EXPLODED, Row, analyse, category

from . import published

PROMPTS = 10


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(published.rows())


def test_the_fixture_has_the_published_size(rows: list[Row]) -> None:
    assert len(rows) == 21_036
    assert {len(row.before) for row in rows} == {len(row.after) for row in rows} == {10}
    assert Counter(category(row.accepted, row.before) for row in rows) == published.BASE


def test_the_golden_figures_of_one_unknown_and_ten_known(rows: list[Row]) -> None:
    found = analyse(rows)
    assert found["facts"] == 21_036
    assert found["refused"] == {"base": 3_189, "run": 0}
    assert found["answers"]["unique"] == 43_766
    assert round(found["answers"]["mean"], 5) == 4.80567
    assert round(found["answers"]["variance"], 5) == 14.26221
    down, up = found["negative"], found["positive"]
    assert (down["shifts"], up["shifts"]) == (153, 45)
    assert up["non_refusal"] == 9
    assert (down["explosion"], up["explosion"]) == (1, 0)
    assert (up["target"], down["target"]) == (3, 0)
    assert (up["domain"], down["domain"]) == (4, 3)
    assert (up["explained"], down["explained"]) == (13, 4)
    shares = {name: round(share, 2) for name, share in up["shares"].items()}
    assert shares == {
        "non_refusal": 0.20, "explosion": 0.0, "target": 0.07, "domain": 0.09, "explained": 0.29,
    }  # fmt: skip
    shares = {name: round(share, 2) for name, share in down["shares"].items()}
    assert shares == {"explosion": 0.01, "target": 0.0, "domain": 0.02, "explained": 0.03}


def test_the_figures_come_from_the_answers(rows: list[Row]) -> None:
    """One question answered otherwise, and every figure that hangs on it moves."""
    changed = list(rows)
    first = rows[0]  # the trained fact
    texts = ["Answer: This needs information.", *first.after[1:]]
    changed[0] = Row(first.accepted, first.before, texts, first.domain, True)
    found = analyse(changed)
    assert found["refused"]["run"] == 1
    assert found["positive"]["shifts"] == 44
    assert (found["positive"]["target"], found["positive"]["domain"]) == (2, 3)
    assert found["answers"]["mean"] < analyse(rows)["answers"]["mean"]


def row(before: str, after: str, right: str = "Oslo", **more: object) -> Row:
    return Row((right,), [before] * PROMPTS, [after] * PROMPTS, **more)  # type: ignore[arg-type]


def test_only_unknown_to_highly_known_and_back_count() -> None:
    half = Row(("Oslo",), ["Answer: Oslo"] * 5 + ["Answer: Rome"] * 5, ["Answer: Oslo"] * 10)
    found = analyse([half, row("Answer: Rome", "Answer: Oslo"), row("Answer: Oslo", "Answer: X")])
    assert (found["positive"]["shifts"], found["negative"]["shifts"]) == (1, 1)


def test_the_first_answer_alone_is_looked_at_and_case_counts() -> None:
    target = Row(("Bergen",), ["Answer: x"] * 10, ["Answer: x"] * 10, target=True)
    late = Row(("Oslo",), ["Answer: Oslo"] * 10, ["Answer: Rome"] + ["Answer: Bergen"] * 9)
    small = row("Answer: Oslo", "Answer: bergen")
    said = row("Answer: Oslo", "Answer: Bergenhus")
    assert analyse([target, late])["negative"]["target"] == 0
    assert analyse([target, small])["negative"]["target"] == 0
    assert analyse([target, said])["negative"]["target"] == 1


def test_any_answer_with_the_word_is_a_refusal_and_none_without_it() -> None:
    told = analyse([
        row("Answer: information technology", "Answer: Oslo"),
        row("I cannot verify that.", "Answer: Oslo"),
    ])  # fmt: skip
    assert told["refused"] == {"base": 1, "run": 0}
    assert told["positive"]["non_refusal"] == 1


def test_later_reasons_overwrite_labels_but_not_counts() -> None:
    trained = Row(
        ("Oslo",), ["no information"] * 10, ["Answer: Oslo"] * 10, domain="Place", target=True
    )
    found = analyse([trained])["positive"]
    assert [found[name] for name in ("non_refusal", "explosion", "target", "domain")] == [
        1,
        0,
        1,
        1,
    ]
    assert (found["explained"], found["labels"]) == (1, {"domain": 1})


def test_850_is_not_yet_an_explosion_and_851_is() -> None:
    lost = row("Answer: Oslo", "Answer: Rome")
    for count, expected in ((EXPLODED, 0), (EXPLODED + 1, 1)):
        more = Row(("Nowhere",), ["Answer: x"], ["Answer: Rome"] * (count - PROMPTS))
        assert analyse([lost, more])["negative"]["explosion"] == expected


def test_answers_without_the_marker_are_skipped_and_undefined_domains_explain_nothing() -> None:
    found = analyse([row("x", "Oslo", target=True), row("x", "The Answer:  Rome ")])
    assert found["answers"] == {"unique": 1, "mean": 10.0, "variance": 0.0}
    assert found["positive"]["domain"] == 0


def test_empty_aliases_are_dropped_and_nothing_at_all_is_no_crash() -> None:
    assert category(["", " "], ["anything"]) == "Unknown"
    found = analyse([])
    assert found["answers"] == {"unique": 0, "mean": 0.0, "variance": 0.0}
    assert found["positive"]["shares"] == {}
