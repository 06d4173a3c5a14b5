"""A check lists everything that is wrong or risky, and loses no row without saying so."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.errors import InputError, NotFoundError
from lorepack.facts import CheckReport, Fact, check, load, over_represented, write, write_rejected
from lorepack.facts.balance import largest_fair_count
from lorepack.text import normalise

SHARED = Path(__file__).parents[3] / "shared" / "data"


def checked(folder: Path, *rows: object) -> CheckReport:
    path = folder / "facts.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogateescape")
    return check(path)


def qa(question: str, answer: str, *aliases: str, **more: object) -> dict[str, object]:
    return {"question": question, "answer": answer, "aliases": list(aliases), **more}


def test_a_clean_file_has_no_problems(tmp_path: Path) -> None:
    report = checked(tmp_path, *(qa(f"Who is {i}?", f"Person {i * i}") for i in range(200)))
    assert report.problems == {}
    assert (report.facts, report.rows, report.errors, report.warnings) == (200, 200, 0, 0)
    assert list(report.lines()) == []


def test_all_schema_errors_are_listed_with_their_lines(tmp_path: Path) -> None:
    report = checked(
        tmp_path,
        qa("q1", "Ann"),
        "{broken",
        {"question": "q3"},
        qa("q4", "Bo"),
        {"question": "q5", "answer": 5},
        '{"question": "caf\udce9", "answer": "a b"}',
        "",
        qa("q1b", "Cy", id="x"),
        qa("q9", "Di", id="x"),
    )
    assert report.problems == {
        "schema_encoding": 1,
        "schema_id": 1,
        "schema_json": 1,
        "schema_missing": 1,
        "schema_type": 1,
    }
    assert report.errors == 5
    assert (report.rows, report.set_aside, report.facts) == (8, 5, 3)
    path = tmp_path / "facts.jsonl"
    assert list(report.lines()) == [
        f"{path}:6: schema encoding: 'question' is not valid UTF-8; save the file as UTF-8",
        f"{path}:9: schema id: the id of line 8, for another fact",
        f"{path}:2: schema json: not JSON (Expecting property name enclosed in double quotes at "
        "column 2); expected one object a line",
        f"{path}:3: schema missing: no 'answer'; the row has: question",
        f"{path}:5: schema type: 'answer' is a number (5); expected text",
    ]


@pytest.mark.parametrize("count", [1, 25_000])
def test_every_error_is_counted_and_many_are_shown(tmp_path: Path, count: int) -> None:
    report = checked(tmp_path, qa("q", "Ann"), *["{"] * count)
    assert report.problems == {"schema_json": count}
    assert report.facts == 1
    lines = list(report.lines())
    assert len(lines) == min(count, 10_001)
    assert (count > 10_000) == lines[-1].endswith("15,000 more")


def test_duplicates_in_other_letters(tmp_path: Path) -> None:
    report = checked(tmp_path, qa("Who is Bo?", "The Ann", id="1"), qa("who is bo", "ann!", id="2"))
    assert report.problems == {"duplicate": 1}
    assert next(iter(report.lines())).endswith(
        ":2: duplicate: the same question and answer as line 1"
    )
    assert report.facts == 2  # under ids of their own both are read


def test_repeats_under_one_id_are_set_aside_as_reading_does(tmp_path: Path) -> None:
    report = checked(tmp_path, qa("q", "Ann"), qa("q2", "Bo"), qa("q", "Ann"), qa("q ", "Ann"))
    assert report.problems == {"duplicate": 2}
    assert (report.facts, report.set_aside, report.errors) == (2, 2, 0)
    assert report.facts == len(load(tmp_path / "facts.jsonl", []))


def test_contradictions(tmp_path: Path) -> None:
    report = checked(
        tmp_path,
        qa("Who is Bo?", "Ann", "Annie"),
        qa("who is Bo", "annie!"),  # shares an alias
        qa("Who is Bo?", "Cy"),  # shares none
        qa("Who is Bo?", "Di", "cy"),  # shares one with line 3
        qa("Who is Di?", "Cy"),
    )
    assert report.problems == {"contradiction": 1}
    (line,) = report.lines()
    assert line.endswith(":3: contradiction: the question of line 1 with another answer")


@pytest.mark.parametrize(
    ("alias", "kind"),
    [
        ("", "empty_alias"),
        ("…!", "empty_alias"),
        ("The", "empty_alias"),
        ("x", "one_letter_alias"),
        ("É.", "one_letter_alias"),
        ("7", None),
        ("水", None),
        ("us", None),
    ],
)
def test_aliases_that_match_anything(tmp_path: Path, alias: str, kind: str | None) -> None:
    report = checked(tmp_path, qa("Who is Bo?", "Ann", alias))
    assert report.problems == ({kind: 1} if kind else {})
    if alias:
        answer = checked(tmp_path, qa("Who is Bo?", alias, "Ann"))
        assert answer.problems == ({kind: 1} if kind else {})


def test_answers_in_their_question(tmp_path: Path) -> None:
    report = checked(
        tmp_path,
        qa("Where is the town of Ulm?", "ULM"),
        qa("Where is Ulmstadt?", "Ulm"),
        qa("Who wrote Emma's Diary?", "Jane Roe", "emma"),
    )
    assert report.problems == {"answer_in_question": 2}
    assert report.errors == 0


def test_answers_of_several_lines_and_unknown_fields(tmp_path: Path) -> None:
    report = checked(
        tmp_path, qa("q1", "Ann\nBo"), qa("q2", "Cy", alias=["C"], n=1), qa("q3", "D d", n=1)
    )
    assert report.problems == {"several_lines": 1, "unknown_field": 2}
    said = "field 'alias' of 1 rows is ignored; did you mean aliases?"
    assert any(line.endswith(f":2: unknown field: {said}") for line in report.lines())
    assert any("field 'n' of 2 rows is ignored" in line for line in report.lines())


def test_over_represented_answers_name_their_share(tmp_path: Path) -> None:
    rows = [qa(f"Who is {i}?", f"Person {i}" if i % 5 else "Alençon") for i in range(100)]
    report = checked(tmp_path, *rows)
    assert report.problems == {"over_represented": 1}
    (line,) = report.lines()
    assert ":1: over represented: answer 'Alençon' belongs to 20 of 100 facts (20.0%)" in line


class TestBalance:
    @pytest.mark.parametrize(
        ("facts", "distinct", "fair"),
        [
            (100, 100, 9),  # at least ten facts
            (1000, 1000, 50),  # five per cent
            (1000, 20, 150),  # three times the even share
            (1000, 4, 500),  # one half
            (1000, 1, 500),
        ],
    )
    def test_the_rule(self, facts: int, distinct: int, fair: int) -> None:
        assert largest_fair_count(facts, distinct) == fair

    def test_even_answers_are_fair_however_few(self) -> None:
        for distinct in range(2, 40):
            assert over_represented({str(i): 50 for i in range(distinct)}) == []

    def test_the_most_frequent_come_first(self) -> None:
        counts = {"b": 20, "a": 20, "c": 30, **{str(i): 1 for i in range(130)}}
        assert over_represented(counts) == [("c", 30), ("a", 20), ("b", 20)]


WORDS = st.sampled_from(["Ann", "ann!", "Bo", "Cy", "The Bo", "Di Di", "di-di"])


@given(st.lists(st.tuples(WORDS, WORDS, st.lists(WORDS, max_size=2)), min_size=1, max_size=12))
def test_comparisons_across_rows_agree_with_a_plain_search(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, list[str]]]
) -> None:
    duplicates = contradictions = 0
    for place, (question, answer, aliases) in enumerate(rows):
        earlier = [r for r in rows[:place] if normalise(r[0]) == normalise(question)]
        if any(normalise(r[1]) == normalise(answer) for r in earlier):
            duplicates += 1
        elif earlier:
            accepted = {normalise(x) for r in earlier for x in (r[1], *r[2])}
            contradictions += accepted.isdisjoint(map(normalise, (answer, *aliases)))
    named = (qa(q, a, *aliases, id=str(i)) for i, (q, a, aliases) in enumerate(rows))
    problems = checked(tmp_path_factory.getbasetemp(), *named).problems
    assert problems.get("duplicate", 0) == duplicates
    assert problems.get("contradiction", 0) == contradictions


def test_the_formats_agree(tmp_path: Path) -> None:
    rng = random.Random(3)
    facts = [
        Fact(f"Who is {rng.randrange(60)}?", f"Person {rng.randrange(9)}", id=str(i))
        for i in range(200)
    ]
    found = set()
    for suffix in ("jsonl", "csv", "parquet", "jsonl.gz"):
        write(tmp_path / f"f.{suffix}", facts)
        found.add(json.dumps(check(tmp_path / f"f.{suffix}").problems))
    assert len(found) == 1
    assert json.loads(found.pop())["contradiction"] > 10


def test_as_json_counts_and_examples_with_lines(tmp_path: Path) -> None:
    row = checked(tmp_path, *["{"] * 9, qa("Who is Bo?", "x")).to_json()
    assert json.loads(json.dumps(row)) == row
    assert (row["facts"], row["rows"], row["set_aside"]) == (1, 10, 9)
    assert row["problems"] == {"one_letter_alias": 1, "schema_json": 9}
    assert [e["line"] for e in row["examples"]["schema_json"]] == [1, 2, 3, 4, 5]
    assert (row["errors"], row["warnings"]) == (9, 1)


class TestRejected:
    def test_every_row_that_is_set_aside_is_written_with_its_reason(self, tmp_path: Path) -> None:
        report = checked(
            tmp_path,
            qa("q", "Ann"),
            "{broken",
            qa("q", "Ann"),
            qa("q4", "Bo", id="x"),
            qa("q5", "Cy", id="x"),
            '{"question": "caf\udce9", "answer": "a"}',
        )
        assert write_rejected(report, tmp_path / "out.jsonl") == report.set_aside == 4
        rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert [(r["line"], r["reason"]) for r in rows] == [
            (2, "schema_json"), (3, "repeat"), (5, "schema_id"), (6, "schema_encoding"),
        ]  # fmt: skip
        assert rows[0]["row"] == "{broken"
        assert rows[3]["row"] == '{"question": "caf\\xe9", "answer": "a"}'
        assert all(r["file"] == str(tmp_path / "facts.jsonl") and r["message"] for r in rows)

    def test_csv_rows(self, tmp_path: Path) -> None:
        (tmp_path / "f.csv").write_text('question,answer\nq,a b,c\nq,"a\n')
        report = check(tmp_path / "f.csv")
        assert report.problems == {"schema_cells": 1, "schema_open_quote": 1}
        assert write_rejected(report, tmp_path / "out.jsonl") == 2
        first = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
        assert first["row"] == ["q", "a b", "c"]

    def test_a_stray_quote_costs_its_own_line(self, tmp_path: Path) -> None:
        rows = [f"q{n},a{n * n}\n" for n in range(3_000)]
        rows[10] = '"who is,me\n'
        (tmp_path / "f.csv").write_text("question,answer\n" + "".join(rows))
        report = check(tmp_path / "f.csv")
        assert report.problems == {"schema_open_quote": 1}
        assert (report.rows, report.facts, report.errors) == (3_000, 2_999, 1)
        assert next(report.lines()).startswith(f"{tmp_path / 'f.csv'}:12: schema open quote: ")
        assert write_rejected(report, tmp_path / "out.jsonl") == 1

    def test_none(self, tmp_path: Path) -> None:
        assert write_rejected(checked(tmp_path, qa("q", "Ann")), tmp_path / "out.jsonl") == 0
        assert (tmp_path / "out.jsonl").read_bytes() == b""

    def test_a_file_that_changed_since(self, tmp_path: Path) -> None:
        report = checked(tmp_path, qa("q", "Ann"), "{")
        (tmp_path / "facts.jsonl").write_text(json.dumps(qa("q", "Ann")) + "\n")
        with pytest.raises(InputError, match="changed since it was checked"):
            write_rejected(report, tmp_path / "out.jsonl")
        assert not (tmp_path / "out.jsonl").exists()


class TestFiles:
    def test_no_file_no_format_no_rows(self, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError):
            check(tmp_path / "none.jsonl")
        with pytest.raises(InputError, match="no known format"):
            check(write_bytes(tmp_path / "f.txt", b"x"))
        with pytest.raises(InputError, match="no facts"):
            check(write_bytes(tmp_path / "f.jsonl", b"\n"))

    def test_a_file_that_breaks_off_is_one_more_error(self, tmp_path: Path) -> None:
        rng = random.Random(0)
        rows = [json.dumps(qa(f"Who is {i}?", f"P{rng.random()}")) for i in range(5000)]
        whole = gzip.compress("\n".join(rows).encode())
        report = check(write_bytes(tmp_path / "f.jsonl.gz", whole[: len(whole) // 2]))
        assert report.problems["schema_file"] == 1
        assert 1000 < report.facts == report.rows < 5000
        assert any("the compressed data is broken" in line for line in report.lines())

    @pytest.mark.skipif(not SHARED.is_dir(), reason="no real data: ../shared/data is not there")
    def test_a_real_phone_book_is_clean(self) -> None:
        report = check(SHARED / "lora-as-knowledge-memory" / "phonebook_qa_8K.csv")
        assert (report.facts, report.problems) == (387, {})


def write_bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_memory_stays_small_with_the_number_of_rows(tmp_path: Path) -> None:
    import tracemalloc

    facts = (Fact(f"Where was number {i} of them all born?", f"Town {i}") for i in range(20_000))
    write(tmp_path / "f.jsonl", facts)
    check(tmp_path / "f.jsonl")  # what stays for good (translation tables) is there now
    tracemalloc.start()
    check(tmp_path / "f.jsonl")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000 * 300  # the texts of a fact alone take more


def test_counts_of_problems_are_counts_of_lines(tmp_path: Path) -> None:
    rows = [qa("q", "Ann"), "{", qa("q", "Bo"), qa("q", "x"), "[]"]
    report = checked(tmp_path, *rows)
    shown = Counter(line.split(": ")[1].replace(" ", "_") for line in report.lines())
    assert shown == report.problems
