"""The file of jobs: what it may say, and what is told where it says something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from lorepack.errors import InputError, NotFoundError
from lorepack.packing.job_file import read_jobs


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "jobs.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_defaults_are_under_a_job_and_sets_are_over_it(tmp_path):
    path = written(
        tmp_path,
        """
        model: world
        out: results
        defaults: {rank: 2, lr: 1e-3, epochs: 5, data: a.csv, seed: 7}
        jobs:
          - {name: one}
          - {name: two, rank: 4, data: [b.csv, world], seed: 1, evaluate: c.csv, targets: [mlp]}
        """,
    )
    found = read_jobs(path, ["epochs=9"])
    one, two = found.jobs
    assert (found.model, found.out) == ("world", tmp_path / "results")
    assert (one.name, one.seed, one.data) == ("one", 7, [tmp_path / "a.csv"])
    assert (two.name, two.seed, two.data) == ("two", 1, [tmp_path / "b.csv", "world"])
    assert two.evaluate == [tmp_path / "c.csv"]
    assert [(j.chosen().rank, j.chosen().lr, j.chosen().epochs) for j in found.jobs] == [
        (2, 1e-3, 9),
        (4, 1e-3, 9),
    ]
    assert two.chosen().targets == ("mlp",)


def test_a_grid_makes_every_job_once_for_each_combination(tmp_path):
    text = (
        "jobs: [{name: a, data: a.csv}, {name: b, data: b.csv}]\ngrid: {rank: [1, 4], seed: 0..1}"
    )
    jobs = read_jobs(written(tmp_path, text)).jobs
    assert [job.name for job in jobs] == [
        f"{name},rank={rank},seed={seed}" for name in "ab" for rank in (1, 4) for seed in (0, 1)
    ]
    assert [(job.chosen().rank, job.seed) for job in jobs][:3] == [(1, 0), (1, 1), (4, 0)]


def test_a_grid_alone_names_its_jobs_by_what_varies(tmp_path):
    text = "grid: {rank: [1, 16], data: [a.csv, [b.csv, c.txt]]}"
    jobs = read_jobs(written(tmp_path, text)).jobs
    assert [job.name for job in jobs] == [
        f"rank={rank},data={data}" for rank in (1, 16) for data in ("a", "b+c")
    ]


BROKEN = {
    "[1, 2]": "got a list, expected 'key: value' lines",
    "": "the file is empty",
    "a: [": "not valid YAML",
    "just words": "got a str, expected 'key: value' lines",
    "jobs: []": "no jobs; expected 'jobs:'",
    "jobs: {name: a}": "no jobs; expected 'jobs:'",
    "model: world": "no jobs; expected 'jobs:'",
    "jobs: [a]": r"jobs\[0\]: got a str",
    "job: [{name: a, data: b}]": "unknown key 'job'; did you mean jobs",
    "jobs: [{name: a, data: b, rnak: 4}]": r"jobs\[0\] \(a\): unknown key 'rnak'; did you mean ra",
    "defaults: {epoch: 4}\njobs: [{data: b}]": "defaults: unknown key 'epoch'; did you mean epochs",
    "grid: {name: [a]}": "grid: unknown key 'name'",
    "grid: {data: [a], rank: []}": "rank has no value",
    "jobs: [{name: a}]": r"jobs\[0\]: no data",
    "jobs: [{name: a, data: 3}]": "data: got 3, expected the name of a file",
    "jobs: [{name: 7, data: b}]": "job name 7: expected text; put it in quotes",
    "jobs: [{name: a, data: b, rank: many}]": "job a: recipe: rank: got 'many'",
    "jobs: [{name: a, data: b, recipe: papr}]": "recipe .*papr: no such preset or file",
    "jobs: [{name: a, data: b, seed: -1}]": "job a: seed -1: expected 0 or more",
    "jobs: [{name: a, data: b, rank: 1, rank: 2}]": "key 'rank' is given twice",
    "jobs: [{data: b}]\nmax_jobs: none": "max_jobs: got 'none'",
    "grid: {seed: 0..99999, data: [a]}": r"100,000 jobs \(100,000 of seed × 1 of data\)",
    "jobs: [{data: b}]\nmodel: 4": "model: got 4",
    "jobs: [{data: b}]\nout: []": r"out: got \[\]",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_is_told_by_name_in_one_line(tmp_path, text):
    path = written(tmp_path, text)
    with pytest.raises((InputError, NotFoundError), match=BROKEN[text]) as told:
        read_jobs(path)
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)


def test_a_file_that_is_no_text_or_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="not text in UTF-8"):
        read_jobs(written(tmp_path, b"jobs: [{name: \xff\xfe}]"))
    with pytest.raises(NotFoundError, match="no such file"):
        read_jobs(tmp_path / "none.yaml")


def test_what_is_set_for_all_jobs_is_a_field_and_does_not_vary(tmp_path):
    path = written(tmp_path, "grid: {rank: [1, 4], data: [a.csv]}")
    with pytest.raises(InputError, match="rank varies, but --set rank=4 fixes it"):
        read_jobs(path, ["rank=4"])
    with pytest.raises(InputError, match="--set: unknown key 'lrr'; did you mean lr"):
        read_jobs(path, ["lrr=4"])


def test_more_jobs_are_made_when_they_are_allowed(tmp_path):
    text = "grid: {seed: 0..1200, data: [a]}"
    assert len(read_jobs(written(tmp_path, text), max_jobs=1201).jobs) == 1201
    assert len(read_jobs(written(tmp_path, text + "\nmax_jobs: 2000")).jobs) == 1201
