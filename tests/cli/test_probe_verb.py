"""`lorepack probe` shows what is known beside what would look known by luck."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lorepack import facts as facts_room
from lorepack import world
from lorepack.cli.main import cli


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Facts of two relations of the made world."""
    path = tmp_path_factory.mktemp("facts") / "few.jsonl"
    wanted = {"region", "mayor"}
    facts_room.write(path, [f for f in world.facts() if f.relation in wanted][::25])
    return path


def call(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli, [str(a) for a in arguments])
    return done.exit_code, done.stdout if done.exit_code == 0 else f"{done.output} {done.exception}"


QUICK = ("--samples", 0, "--set", "prompts=2")


def test_controls_stand_beside_the_facts(few: Path, tmp_path: Path) -> None:
    asked = ("probe", "--model", "world", "--facts", few, *QUICK, "--controls", 6)
    code, shown = call(*asked, "--out", tmp_path / "p")
    assert code == 0, shown
    for words in ("controls", "by luck", "beyond luck", "region", "mayor"):
        assert words in shown
    code, again = call(*asked, "--out", tmp_path / "p", "--json")
    assert code == 0, again
    floor = json.loads(again.splitlines()[-1])
    assert floor["controls"]["questions"] == 12
    by_relation = floor["controls"]["by_relation"]
    assert by_relation["region"]["floor"] > by_relation["mayor"]["floor"]


def test_an_option_and_a_setting_of_the_same_name_are_refused(few: Path, tmp_path: Path) -> None:
    code, shown = call("probe", "--model", "world", "--facts", few, "--out", tmp_path / "p",
                       "--controls", 3, "--set", "controls=4")  # fmt: skip
    assert code == 2
    assert "controls is given twice" in shown


def test_a_lexicon_that_is_not_there_is_named_before_anything_is_asked(
    few: Path, tmp_path: Path
) -> None:
    _, shown = call("probe", "--model", "world", "--facts", few, "--out", tmp_path / "p",
                       "--refusals", tmp_path / "none.yaml")  # fmt: skip
    assert "none.yaml" in shown
    assert not (tmp_path / "p").exists()


def test_controls_do_not_change_a_run_that_is_audited_again(tmp_path: Path) -> None:
    code, shown = call("audit", "--run", tmp_path, "--controls", 3)
    assert code == 2
    assert "--run stands alone" in shown
