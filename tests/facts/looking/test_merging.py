"""Merging loses no answer and no wording, and says what contradicts itself."""

from __future__ import annotations

import errno
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.facts.looking import made

from lorepack.errors import InputError, WriteError
from lorepack.facts import Fact, check, load, read
from lorepack.facts.looking import merge, merging
from lorepack.facts.looking.fingerprints import form_of

QUIET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
prefer = st.sampled_from(["first", "last", "none"])
PUBLISHED = made.SHARED / "lora-as-knowledge-memory"


def merged(folder: Path, *groups: list[Fact], **options: object) -> list[Fact]:
    paths = [made.written(folder / f"{n}.jsonl", facts) for n, facts in enumerate(groups)]
    report = merge(paths, folder / "out.jsonl", **options)
    assert sum(n for _, n in report.read) == report.facts + report.united + report.dropped
    return list(read(folder / "out.jsonl")) if report.facts else []


class TestTheSameFact:
    def test_aliases_and_wordings_are_united(self, tmp_path: Path):
        one = Fact("Who runs it?", "Ida Voss", aliases=("I. Voss",), paraphrases=("Its head?",))
        other = Fact("who runs it", "I. Voss", aliases=("Voss",), relation="head", popularity=3.0)
        assert merged(tmp_path, [one], [other]) == [
            Fact("Who runs it?", "Ida Voss", aliases=("I. Voss", "Voss"),
                 paraphrases=("Its head?",), relation="head", popularity=3.0, id=one.id)
        ]  # fmt: skip

    def test_one_id_and_answer_unite_two_wordings(self, tmp_path: Path):
        one, other = Fact("Who runs it?", "Ida", id="7"), Fact("Its head?", "ida.", id="7")
        (found,) = merged(tmp_path, [one], [other])
        assert (found.question, found.paraphrases, found.aliases) == (
            "Who runs it?", ("Its head?",), (),
        )  # fmt: skip

    def test_answers_that_a_third_fact_links_are_one(self, tmp_path: Path):
        facts = [Fact("q", "Ann"), Fact("q", "Bo"), Fact("q", "Bo", aliases=("Ann",))]
        (found,) = merged(tmp_path, facts)
        assert found.accepted == ("Ann", "Bo")


class TestContradictions:
    A, B = Fact("Who?", "Ann"), Fact("who", "Bo")

    def test_they_stop_the_merge_with_both_places(self, tmp_path: Path):
        with pytest.raises(InputError) as told:
            merged(tmp_path, [Fact("x", "y"), self.A], [self.B], conflicts=tmp_path / "c.jsonl")
        assert f"{tmp_path}/0.jsonl:2 and {tmp_path}/1.jsonl:1 answer one question" in str(
            told.value
        )
        assert "--prefer first, last or none" in str(told.value)
        assert not (tmp_path / "out.jsonl").exists()
        (row,) = map(json.loads, (tmp_path / "c.jsonl").read_text().splitlines())
        assert (row["kind"], row["kept"]) == ("question", "none")
        assert (row["one"]["line"], row["other"]["fact"]["answer"]) == (2, "Bo")

    @pytest.mark.parametrize(
        ("rule", "answers"), [("first", ["Ann"]), ("last", ["Bo"]), ("none", [])]
    )
    def test_one_is_kept_as_told(self, tmp_path: Path, rule: str, answers: list[str]):
        found = merged(tmp_path, [self.A, Fact("x", "y")], [self.B], prefer=rule)
        assert [fact.answer for fact in found if fact.question != "x"] == answers

    def test_an_id_for_two_facts_is_one_too(self, tmp_path: Path):
        one, other = Fact("Who?", "Ann", id="1"), Fact("Where?", "Rome", id="1")
        with pytest.raises(InputError, match="give one id to facts that answer differently"):
            merged(tmp_path, [one], [other])

    def test_a_conflicts_file_never_replaces_what_is_read_or_written(self, tmp_path: Path):
        for name in ("0.jsonl", "out.jsonl"):
            with pytest.raises(InputError, match="needed twice"):
                merged(tmp_path, [self.A], prefer="first", conflicts=tmp_path / name)


class TestLaws:
    @given(made.facts(), made.facts(), prefer)
    @QUIET
    def test_nothing_contradicts_itself_afterwards(
        self, tmp_path: Path, one: list[Fact], other: list[Fact], rule: str
    ):
        found = merged(tmp_path, one, other, prefer=rule)
        questions = [form_of(fact.question) for fact in found]
        assert len(set(questions)) == len(questions)
        assert len({fact.id for fact in found}) == len(found)

    @given(made.facts(), prefer)
    @QUIET
    def test_merging_again_changes_nothing(self, tmp_path: Path, facts: list[Fact], rule: str):
        once = merged(tmp_path, facts, facts, prefer=rule)
        if once:
            assert merged(tmp_path, once, once) == merged(tmp_path, once) == once

    @given(made.facts(), made.facts())
    @QUIET
    def test_every_question_has_an_answer_it_had(
        self, tmp_path: Path, one: list[Fact], other: list[Fact]
    ):
        one, other = ([replace(fact, id="") for fact in some] for some in (one, other))
        found = merged(tmp_path, one, other, prefer="first")
        assert {form_of(f.question) for f in found} == {form_of(f.question) for f in (*one, *other)}
        held = {(form_of(f.question), form_of(a)) for f in (*one, *other) for a in f.accepted}
        for fact in found:
            assert {(form_of(fact.question), form_of(text)) for text in fact.accepted} <= held


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="no real data")
def test_published_phone_books_that_overlap_become_one(tmp_path: Path):
    paths = [PUBLISHED / f"phonebook_qa_{n}K.csv" for n in (1, 2)]
    each = [{(f.question, f.answer) for f in load(path, notes=[])} for path in paths]
    report = merge(paths, tmp_path / "out.parquet", prefer="first")
    found = load(tmp_path / "out.parquet")
    assert report.facts == len(found) == len({q for q, _ in each[0] | each[1]})
    assert {(f.question, f.answer) for f in found} <= each[0] | each[1]
    assert check(tmp_path / "out.parquet").errors == 0


class Full(io.BytesIO):
    """A file that holds what it is given until it has to write it: there is no space."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


class Stuck(Full):
    """One that has to write at once."""

    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("file", [Full, Stuck])
def test_a_full_folder_of_temporary_files_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: type[io.BytesIO]
):
    monkeypatch.setattr("lorepack.facts.looking.spool.tempfile.TemporaryFile", file)
    with pytest.raises(WriteError, match=r"^no room in .+ \(No space left on device\)"):
        merged(tmp_path, [Fact("Who?", "Ann")], [Fact("who", "Ann")])
    assert not (tmp_path / "out.jsonl").exists()


def test_conflicts_that_nobody_reads_are_counted_and_not_worded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    worded: list[object] = []
    row = merging._row
    monkeypatch.setattr(merging, "_row", lambda one: worded.append(one) or row(one))
    groups = ([Fact("Who?", "Ann")], [Fact("who", "Bo"), Fact("Who", "Cy")])
    merged(tmp_path, *groups, prefer="first")
    assert not worded
    merged(tmp_path, *groups, prefer="first", conflicts=tmp_path / "c.jsonl")
    assert len(worded) == len((tmp_path / "c.jsonl").read_text().splitlines()) == 2
