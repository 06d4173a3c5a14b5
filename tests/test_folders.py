"""One process writes to a folder of results, and never to a folder of somebody else."""

import shutil

import pytest

from lorepack import files
from lorepack.errors import InputError, MismatchError, WriteError
from lorepack.folders import LOCK, alone


def test_a_new_folder_is_made_and_can_be_held_again(tmp_path):
    for _ in range(2):
        with alone(tmp_path / "a" / "b"):
            files.write_text(tmp_path / "a" / "b" / "x.txt", "x")


def test_what_a_killed_process_left_is_ours(tmp_path):
    (tmp_path / LOCK).write_text("")
    (tmp_path / "chunks").mkdir()
    with alone(tmp_path):
        pass


def test_finished_results_that_were_copied_without_hidden_files_are_ours(tmp_path):
    with alone(tmp_path / "one"):
        files.write_text(tmp_path / "one" / "x.txt", "x")
        files.write_manifest(tmp_path / "one", "inputs", ["x.txt"])
    shutil.copytree(tmp_path / "one", tmp_path / "two", ignore=shutil.ignore_patterns(".*"))
    with alone(tmp_path / "two"):
        assert files.is_complete(tmp_path / "two", "inputs")


@pytest.mark.parametrize("manifest", [None, "[]", '{"name": "a browser extension"}', "not JSON"])
def test_a_folder_of_somebody_else_stays_untouched(tmp_path, manifest):
    (tmp_path / "chunks").mkdir()
    (tmp_path / "chunks" / "video.mp4").write_text("frames")
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    before = sorted(p.name for p in tmp_path.rglob("*"))
    with pytest.raises(InputError, match="something else"), alone(tmp_path):
        pass
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


def test_two_processes_cannot_hold_one_folder(tmp_path):
    with alone(tmp_path), pytest.raises(MismatchError, match="another lorepack"), alone(tmp_path):
        pass


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="is a file"), alone(tmp_path / "file"):
        pass
