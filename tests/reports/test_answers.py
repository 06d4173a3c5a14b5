"""The data of the answer browser: what the tables say, all of it that fits, the changed first."""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from lorepack.errors import InputError, NotFoundError
from lorepack.reports.answer_data import AnswerData, answer_data
from lorepack.reports.answer_rows import LONGEST, clipped
from lorepack.reports.run_files import read_run
from lorepack.text import answer_of

from . import sample_run


def opened(data: AnswerData) -> dict[str, Any]:
    return json.loads(gzip.decompress(base64.b64decode(data.zipped)))


def table(run: Path, name: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in pq.read_table(run / name).to_pylist()}


def test_every_fact_stands_there_as_the_tables_have_it(full: Path) -> None:
    data = opened(answer_data(read_run(full)))
    facts = {row["id"]: row for row in map(json.loads, (full / "facts.jsonl").open())}
    mix = json.loads((full / "mix" / "mix.json").read_text())
    assert data["ids"] == list(facts)
    categories = [table(full, f"{s}/categories.parquet") for s in ("probe", "audit")]
    answers = [table(full, f"{s}/answers.parquet") for s in ("probe", "audit")]
    for at, (ident, fact) in enumerate(facts.items()):
        for name in ("question", "answer", "relation"):
            assert data["texts"][data[name][at]] == fact[name]
        part = 1 if ident in mix["trained"] else 2 if ident in mix["known"] else 0
        assert data["part"][at] == part
        for when, name in enumerate(("before", "after")):
            row = categories[when][ident]
            assert data["categories"][data[name][at]] == row["category"]
            k, n = data["right"][4 * at + 2 * when : 4 * at + 2 * when + 2]
            assert (k, n) == (row["k_greedy"], row["n_greedy"])
            said = data["said"][when][at]
            counts = {data["texts"][t]: c >> 1 for t, c in zip(said[::2], said[1::2], strict=True)}
            assert counts == Counter(map(answer_of, answers[when][ident]["greedy"]))
            assert sum(c >> 1 for c in said[1::2] if c & 1) == row["k_greedy"]
            assert sorted((c >> 1 for c in said[1::2]), reverse=True) == [
                c >> 1 for c in said[1::2]
            ]


def test_texts_are_stored_once(full: Path) -> None:
    texts = opened(answer_data(read_run(full)))["texts"]
    assert len(texts) == len(set(texts))


def test_causes_are_bits_and_facts_that_were_not_looked_at_have_none(full: Path) -> None:
    data = opened(answer_data(read_run(full)))
    causes = table(full, "audit/causes.parquet")
    seen = set()
    for ident, bits in zip(data["ids"], data["causes"], strict=True):
        if ident not in causes:
            assert bits == -1
            continue
        names = [label for at, label in enumerate(data["labels"]) if bits >> at & 1]
        assert names == sorted(causes[ident]["causes"])
        seen.add(bool(names))
    assert seen == {True, False}  # explained and unexplained ones


def test_without_a_file_of_causes_there_is_no_filter_for_them(run: Path) -> None:
    data = answer_data(read_run(run))
    assert data.causes == ()
    assert set(opened(data)["causes"]) == {-1}


def test_equal_files_give_equal_bytes(full: Path) -> None:
    assert answer_data(read_run(full)).zipped == answer_data(read_run(full)).zipped


def test_what_did_not_change_is_left_out_first(full: Path) -> None:
    found = read_run(full)
    whole = opened(answer_data(found))
    changed = {
        ident
        for ident, before, after in zip(whole["ids"], whole["before"], whole["after"], strict=True)
        if before != after
    }
    data = answer_data(found, most=len(changed) + 10)
    kept = opened(data)["ids"]
    assert (data.facts, data.shown, data.changed) == (300, len(changed) + 10, len(changed))
    assert changed < set(kept)
    assert kept == [ident for ident in whole["ids"] if ident in set(kept)]
    fewer = opened(answer_data(found, most=len(changed) - 5))["ids"]
    assert set(fewer) < changed


def test_less_room_means_usual_answers_only_and_then_fewer_facts(full: Path) -> None:
    found = read_run(full)
    needed = len(answer_data(found).zipped)
    usual = answer_data(found, room=needed - 1)
    assert (usual.whole, usual.shown) == (False, 300)
    assert all(len(said) == 2 for when in opened(usual)["said"] for said in when)
    few = answer_data(found, room=needed // 4)
    assert 0 < few.shown < 300
    assert len(few.zipped) <= needed // 4


def test_the_page_says_that_it_shows_a_part(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lorepack.reports import page

    found = read_run(full)
    cut = answer_data(found, most=150)
    monkeypatch.setattr(page, "answer_data", lambda _: cut)
    html = page.render(found)
    assert f"150 of 300 facts: those whose category changed ({cut.changed})" in html
    none = answer_data(found, most=cut.changed - 5)
    monkeypatch.setattr(page, "answer_data", lambda _: none)
    assert f"an even choice of the {cut.changed} whose category changed" in page.render(found)


def test_long_texts_are_cut_to_one_line() -> None:
    assert clipped(" a\n b ") == "a b"
    assert len(clipped("x" * 10_000)) == LONGEST
    assert clipped("x" * 10_000).endswith("x…")


def test_a_table_that_lacks_facts_or_is_cut_off_is_named(run: Path) -> None:
    categories = run / "audit" / "categories.parquet"
    whole = pq.read_table(categories)
    pq.write_table(whole.slice(0, 70), categories)
    with pytest.raises(InputError, match=r"audit/categories\.parquet: lacks facts of the probe"):
        answer_data(read_run(run))
    pq.write_table(whole, categories)
    answers = run / "probe" / "answers.parquet"
    body = answers.read_bytes()
    answers.write_bytes(body[: len(body) // 2])
    with pytest.raises(InputError, match=r"probe/answers\.parquet: not a whole Parquet file"):
        answer_data(read_run(run))
    answers.unlink()
    with pytest.raises(NotFoundError, match=r"probe/answers\.parquet: missing"):
        answer_data(read_run(run))


def test_rows_are_joined_by_id_whatever_their_order(full: Path, tmp_path: Path) -> None:
    import shutil

    other = shutil.copytree(full, tmp_path / "run")
    for name in ("audit/categories.parquet", "probe/answers.parquet"):
        rows = pq.read_table(other / name)
        pq.write_table(rows.take(list(range(len(rows)))[::-1]), other / name)
    assert opened(answer_data(read_run(other))) == opened(answer_data(read_run(full)))


def test_prompts_that_were_not_asked_are_no_answers(tmp_path: Path) -> None:
    run = sample_run.write_run(tmp_path / "run", sample_run.Shape(facts=40, trained=4))
    sample_run.forget_manifests(run)
    rows = pq.read_table(run / "audit" / "answers.parquet").to_pylist()
    rows[0]["greedy"] = [None] * 10
    import pyarrow as pa

    pq.write_table(pa.Table.from_pylist(rows), run / "audit" / "answers.parquet")
    data = opened(answer_data(read_run(run)))
    assert data["said"][1][data["ids"].index(rows[0]["id"])] == []
