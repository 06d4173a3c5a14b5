"""Stopped, repeated, damaged or refused: a folder of results ends right, and nothing is lost."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from lorepack.errors import InputError, LorepackError, MismatchError, WriteError
from lorepack.facts import Fact
from lorepack.facts.passage import Passage
from lorepack.facts.passages_file import read_passages
from lorepack.synthesis import SynthesisSettings, synthesize
from lorepack.synthesis.output import LISTS
from lorepack.synthesis.prompts import Prompts
from lorepack.synthesis.writers.writer import Reply, Request

from .scripted import Scripted, passages, proper

FORMS = ("qa:3", "summary:1", "original")


def settings(*forms: str, **more: Any) -> SynthesisSettings:
    return SynthesisSettings(forms=forms or FORMS, **more)  # type: ignore[arg-type]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def content(folder: Path) -> dict[str, bytes]:
    """What equal work must repeat."""
    return {name: (folder / name).read_bytes() for name in (*LISTS, "synthesis.json")}


class TestAgain:
    def test_a_finished_run_asks_nothing_and_changes_nothing(self, tmp_path):
        writer = Scripted()
        first = synthesize(passages(9, 2), tmp_path, settings(), writer)
        before, count = content(tmp_path), len(writer.asked)
        again = synthesize(iter(passages(9, 2)), tmp_path, settings(), writer)
        assert len(writer.asked) == count > 0
        assert content(tmp_path) == before
        assert again.requests == 0
        assert again == dataclasses.replace(first, requests=0, cached=0, seconds=None)

    def test_a_cache_that_is_shared_answers_all(self, tmp_path):
        writer = Scripted()
        for name in ("one", "two"):
            report = synthesize(
                passages(9, 2), tmp_path / name, settings(), writer, cache=tmp_path / "c"
            )
        assert (report.requests, report.cached) == (0, len(writer.asked))
        assert content(tmp_path / "one") == content(tmp_path / "two")

    def test_another_writer_is_asked_anew(self, tmp_path):
        for name in ("one", "two"):
            writer = Scripted(identity=name)
            synthesize(passages(2), tmp_path / name, settings(), writer, cache=tmp_path / "c")
            assert writer.asked

    @pytest.mark.parametrize("window", [1, 3, 100])
    def test_the_window_decides_no_byte(self, tmp_path, window):
        draw = settings("qa:3", "summary:2", "exam:1")
        told = passages(23, 4)
        synthesize(told, tmp_path / "a", draw, Scripted())
        synthesize(told, tmp_path / "b", draw.override({"window": str(window)}), Scripted())
        assert content(tmp_path / "a") == content(tmp_path / "b")

    def test_a_writer_that_stops_ends_the_run_and_what_it_gave_is_kept(self, tmp_path):
        told = passages(20)
        synthesize(told, tmp_path / "whole", settings(), Scripted())
        for stop in (0, 1, 13, 25):
            folder = tmp_path / str(stop)
            with pytest.raises(LorepackError, match="nobody listens"):
                synthesize(told, folder, settings(), Scripted(stop_after=stop))
            assert not (folder / "items.jsonl").exists()
            writer = Scripted()
            report = synthesize(told, folder, settings(), writer)
            assert report.cached == stop
            assert content(folder) == content(tmp_path / "whole")

    def test_a_request_without_a_reply_is_counted_and_asked_again_the_next_time(self, tmp_path):
        def failing(request: Request) -> Reply | str:
            bad = request.task.passage == told[3] and request.task.prompt == "qa"
            return Reply(failed="500 from the server (6 attempts)") if bad else proper(request)

        told = passages(8)
        synthesize(told, tmp_path / "whole", settings(), Scripted())
        first = synthesize(told, tmp_path / "out", settings(), Scripted(failing))
        assert (first.failed, first.rejected) == (1, {"no_reply": 1})
        (row,) = rows(tmp_path / "out" / "rejected.jsonl")
        assert (row["reason"], row["passage"]) == ("no_reply", told[3].id)
        assert row["detail"] == "500 from the server (6 attempts)"
        writer = Scripted()
        second = synthesize(told, tmp_path / "out", settings(), writer)
        assert {request.task.passage for request in writer.asked} == {told[3]}
        assert second.failed == 0
        assert content(tmp_path / "out") == content(tmp_path / "whole")

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            ({"settings": settings("qa:2")}, r"settings \(forms\)"),
            ({"passages": passages(3)}, "passages"),
            ({"facts": [Fact("Q?", "A", subject="S")]}, "facts"),
            ({"evaluation": [Fact("Q?", "A")]}, "evaluation"),
            ({"writer": Scripted(identity="other")}, "writer"),
        ],
    )
    def test_a_finished_folder_is_not_overwritten_by_other_work(self, tmp_path, change, named):
        asked = {"passages": passages(2), "settings": settings(), "writer": Scripted()}
        synthesize(out=tmp_path, **asked)
        before = content(tmp_path)
        with pytest.raises(MismatchError, match=f"with other {named}; give another folder"):
            synthesize(out=tmp_path, **{**asked, **change})
        assert content(tmp_path) == before
        assert (tmp_path / "manifest.json").is_file()

    def test_a_damaged_result_is_made_again_from_the_cache(self, tmp_path):
        synthesize(passages(5), tmp_path, settings(), Scripted())
        before = content(tmp_path)
        (tmp_path / "facts.jsonl").write_text("oops")
        report = synthesize(passages(5), tmp_path, settings(), Scripted())
        assert report.requests == 0
        assert content(tmp_path) == before

    def test_other_prompts_are_other_work(self, tmp_path):
        shipped = Path(Prompts().prompt("summary").path)
        (tmp_path / "own").mkdir()
        text = shipped.read_text(encoding="utf-8")
        (tmp_path / "own" / "summary.yaml").write_text(text + "# mine\n", encoding="utf-8")
        synthesize(passages(2), tmp_path / "out", settings(), Scripted())
        with pytest.raises(MismatchError, match="with other prompts"):
            synthesize(
                passages(2), tmp_path / "out", settings(), Scripted(),
                prompts=Prompts(tmp_path / "own"),
            )  # fmt: skip


class TestInput:
    def test_two_passages_of_one_id_are_refused(self, tmp_path):
        told = [Passage("One.", id="p0"), Passage("Two.", id="p1"), Passage("3.", id="p0")]
        with pytest.raises(InputError, match="passage 3: an earlier one has the same id 'p0'"):
            synthesize(told, tmp_path, settings("original"), Scripted())

    def test_a_limit_reads_no_further(self, tmp_path):
        def endless() -> Any:
            yield from passages(5)
            raise AssertionError("read beyond the limit")

        report = synthesize(endless(), tmp_path, settings(limit=5), Scripted())
        assert report.passages == 5

    def test_a_bad_passage_ends_the_run_and_its_forerunners_are_cached(self, tmp_path):
        lines = [json.dumps(p.to_json()) for p in passages(9)]
        (tmp_path / "p.jsonl").write_text("\n".join([*lines, "{broken"]))
        told = read_passages(tmp_path / "p.jsonl")
        with pytest.raises(InputError, match=r"p.jsonl:10: not JSON"):
            synthesize(told, tmp_path / "out", settings("qa:3", window=2), Scripted())
        report = synthesize(passages(9), tmp_path / "out", settings("qa:3", window=2), Scripted())
        assert report.cached > 0

    def test_a_folder_of_something_else_is_left_alone(self, tmp_path):
        (tmp_path / "thesis.txt").write_text("years of work")
        with pytest.raises(InputError, match="files of something else"):
            synthesize(passages(1), tmp_path, settings(), Scripted())

    def test_a_full_disk_is_told_and_finished_work_is_kept(self, tmp_path, monkeypatch):
        from lorepack.synthesis import cache

        kept = cache.Cache.keep

        def full(self: Any, key: str, reply: Reply) -> Reply:
            if len(self) == 10:
                raise WriteError(f"cannot write {self.path}: database or disk is full")
            return kept(self, key, reply)

        monkeypatch.setattr(cache.Cache, "keep", full)
        with pytest.raises(WriteError, match="disk is full"):
            synthesize(passages(20), tmp_path, settings(), Scripted())
        monkeypatch.undo()
        assert synthesize(passages(20), tmp_path, settings(), Scripted()).cached == 10
