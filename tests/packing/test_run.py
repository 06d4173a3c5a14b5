"""A run's folder belongs to one job at a time, and to one set of settings."""

from __future__ import annotations

import pytest

from lorepack import files
from lorepack.errors import InputError, LorepackError, MismatchError, NotFoundError, WriteError
from lorepack.facts import Fact
from lorepack.packing.run import Run, first_difference, open_run

FACTS = [Fact("Who?", "Ada"), Fact("Where?", "Turin")]

TEXTS = ["One line.\nAnd another — “quoted”.", ""]


def test_the_neutral_text_of_a_run_comes_back_as_it_was(tmp_path):
    with open_run(tmp_path / "run") as run:
        run.begin({}, FACTS, TEXTS)
    assert run.neutral_text() == TEXTS


def test_two_jobs_cannot_write_one_run(tmp_path):
    with (
        open_run(tmp_path / "run"),
        pytest.raises(MismatchError, match="another lorepack"),
        open_run(tmp_path / "run"),
    ):
        pass


def test_other_settings_in_the_same_folder_are_refused_by_name(tmp_path):
    with open_run(tmp_path / "run") as run:
        run.begin({"settings": {"seed": 1}}, FACTS, TEXTS)
        run.begin({"settings": {"seed": 1}}, FACTS, TEXTS)
        with pytest.raises(MismatchError, match=r"settings\.seed: 1 there, 2 asked"):
            run.begin({"settings": {"seed": 2}}, FACTS, TEXTS)


def test_without_an_adapter_mix_and_recipe_may_still_change_but_not_the_probe(tmp_path):
    asked = {"settings": {"seed": 1, "mix": {"unknown": 500}, "recipe": {"lr": 1}, "probe": 1}}
    fewer = {"settings": {"seed": 1, "mix": {"unknown": 30}, "recipe": {"lr": 2}, "probe": 1}}
    other = {"settings": {**asked["settings"], "probe": 2}}
    with open_run(tmp_path / "run") as run:
        run.begin(asked, FACTS, TEXTS)
        run.begin(fewer, FACTS, TEXTS)
        assert run.describe() == fewer
        with pytest.raises(MismatchError, match=r"settings\.probe: 1 there, 2 asked"):
            run.begin(other, FACTS, TEXTS)
        files.write_manifest(run.training, "inputs", [])
        with pytest.raises(MismatchError, match=r"settings\.mix\.unknown: 30 there, 500 asked"):
            run.begin(asked, FACTS, TEXTS)


@pytest.mark.parametrize("name", ["adapter", "probe", "facts.jsonl"])
def test_a_folder_with_results_but_no_run_is_left_alone(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="something else"), open_run(tmp_path):
        pass
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="something else"), open_run(tmp_path):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_not_a_run(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(WriteError, match="is a file"), open_run(path):
        pass


def test_an_unwritable_parent_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LorepackError, match="file"), open_run(tmp_path / "file" / "run"):
        pass


def test_describing_a_folder_that_is_no_run_says_so(tmp_path):
    with pytest.raises(NotFoundError, match=r"no run\.json"):
        Run(tmp_path).describe()


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "a.b: 1 there, 2 asked"),
        ({"a": 1}, {}, "a: 1 there, None asked"),
        ([1], [2], ": [1] there, [2] asked"),
    ],
)
def test_the_first_difference_is_named(old, new, found):
    assert first_difference(old, new) == found


def test_time_is_added_up_over_interrupted_tries(tmp_path):
    with open_run(tmp_path / "run") as run:
        with pytest.raises(ZeroDivisionError), run.timed("probe", "cpu"):
            1 / 0  # noqa: B018
        first = run.timing()["seconds"]["probe"]
        with run.timed("probe", "cpu"):
            pass
        assert run.timing()["seconds"]["probe"] >= first
