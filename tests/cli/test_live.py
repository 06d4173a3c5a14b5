"""What is seen of many jobs while they are trained."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from lorepack.cli import live
from lorepack.training import Standing


def standing(number: int, state: str = "training", **more: object) -> Standing:
    values = {"loss": 0.5, "tokens_per_second": 100.0, "seconds_left": 75.0}
    if state != "training":
        values |= {"tokens_per_second": None, "seconds_left": None}
    return Standing(number, f"job-{number}", state, 10, 40, **{**values, **more})


def lines(jobs: list[Standing]) -> list[str]:
    console = Console(file=io.StringIO(), width=100)
    console.print(live.standings_table(jobs))
    return console.file.getvalue().splitlines()


def test_a_job_has_a_row_with_its_step_loss_pace_and_time_left():
    _, row = lines([standing(0)])
    assert row.split() == ["job-0", "10/40", "0.5", "100", "0:01:15"]


def test_a_job_that_is_not_in_training_tells_its_state():
    _, row = lines([standing(0, "waiting", loss=None)])
    assert row.split() == ["job-0", "10/40", "waiting"]


def test_at_most_twelve_jobs_have_rows_and_the_rest_is_summed_up():
    jobs = [standing(0, "done"), standing(1, "waiting"), *(standing(n) for n in range(2, 16))]
    _, *rows, last = lines(jobs)
    assert [row.split()[0] for row in rows] == [f"job-{n}" for n in range(2, 14)]
    assert last.split("  ")[0] == "4 more: 2 training, 1 waiting, 1 done"
    assert last.split()[-3:] == ["40/160", "200", "0:01:15"]


def test_names_are_shown_as_they_are():
    assert "job [bold]" in lines([replace(standing(0), name="job [bold]")])[1]


def test_off_a_terminal_nobody_watches_and_remarks_are_json(capsys: pytest.CaptureFixture[str]):
    with live.screen(False) as shown:
        assert shown["watch"] is None
        shown["note"]("64 of 90")
    assert json.loads(capsys.readouterr().err) == {"note": "64 of 90"}


class Terminal(io.StringIO):
    """A stderr that somebody looks at."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("as_json", "seen"), [(False, True), (True, False)])
def test_on_a_terminal_bars_remarks_and_jobs_are_seen_unless_json_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, as_json, seen
):
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with live.screen(as_json) as shown:
        shown["progress"]("train", 1, 4)
        shown["note"]("64 of 90 [half] at once")
        if shown["watch"]:
            shown["watch"]([standing(0)])
    told = screen.getvalue()
    assert "64 of 90 [half] at once" in told
    assert ("job-0" in told and "1/4" in told) is seen
