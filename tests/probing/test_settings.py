"""Settings say what is wrong, and presets are the choices they promise."""

from __future__ import annotations

import pytest

from lorepack.errors import InputError
from lorepack.probing import ProbeSettings


def test_recommended_is_the_default() -> None:
    settings = ProbeSettings()
    assert settings == ProbeSettings.named("recommended")
    assert (settings.prompts, settings.shots, settings.samples) == (10, 4, 16)
    assert (settings.temperature, settings.top_k, settings.max_new_tokens) == (0.5, 40, 32)
    assert (settings.exemplars, settings.rule) == ("random", "boundary")


def test_paper_is_as_published() -> None:
    paper = ProbeSettings.named("paper")
    assert (paper.exemplars, paper.rule, paper.samples) == ("positional", "substring", 0)
    assert (paper.prompts, paper.shots, paper.max_new_tokens) == (10, 4, 32)


def test_values_beside_a_preset_win() -> None:
    assert ProbeSettings(preset="paper", rule="exact").rule == "exact"
    assert ProbeSettings.named("paper").override({"seed": "3"}).exemplars == "positional"
    assert ProbeSettings().override({"preset": "paper"}) == ProbeSettings.named("paper")


def test_values_may_be_text_as_on_a_command_line() -> None:
    changed = ProbeSettings().override({"samples": "0", "temperature": "0.7", "rule": "exact"})
    assert (changed.samples, changed.temperature, changed.rule) == (0, 0.7, "exact")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"promts": 3}, "did you mean prompts"),
        ({"preset": "papper"}, "did you mean paper"),
        ({"prompts": 0}, "prompts=0"),
        ({"temperature": 0}, "temperature=0"),
        ({"rule": "fuzzy"}, "rule='fuzzy'"),
        ({"samples": "many"}, "samples='many'"),
    ],
)
def test_errors_name_the_setting(values: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ProbeSettings(**values)
    with pytest.raises(InputError, match=message):
        ProbeSettings().override(values)


def test_settings_come_back_from_json() -> None:
    paper = ProbeSettings.named("paper").override({"seed": 4})
    assert ProbeSettings.model_validate(paper.model_dump(mode="json")) == paper


def test_how_the_work_is_cut_decides_nothing() -> None:
    one, other = ProbeSettings(chunk=1), ProbeSettings(chunk=7)
    assert one.deciding() == other.deciding()
    assert one.deciding() != ProbeSettings(seed=1).deciding()
