"""What a user asks for is taken exactly, or refused with the reason."""

from __future__ import annotations

import pytest

from lorepack.errors import InputError
from lorepack.packing.settings import PackSettings


def test_sets_go_to_the_recipe_and_with_a_prefix_to_the_probe():
    settings = PackSettings.build(sets=["lr=0.005", "probe.prompts=3"], rank=4)
    assert settings.recipe.lr == 0.005
    assert settings.recipe.rank == 4
    assert settings.probe.prompts == 3


def test_a_mistyped_key_is_answered_with_the_one_that_was_meant():
    with pytest.raises(InputError, match="epochs"):
        PackSettings.build(sets=["epoch=3"])


def test_the_paper_recipe_selects_by_position():
    assert PackSettings.build(recipe="paper").mix.selection == "positional"
    assert PackSettings.build().mix.selection == "stratified"


@pytest.mark.parametrize("unknown", [0, -1, "many", "0"])
def test_a_count_of_unknown_facts_is_at_least_one(unknown):
    with pytest.raises(InputError, match="unknown"):
        PackSettings.build(unknown=unknown)


@pytest.mark.parametrize("given", [{"known": -1}, {"paraphrases": -2}, {"rank": 0}])
def test_numbers_out_of_range_are_refused(given):
    with pytest.raises(InputError, match=next(iter(given))):
        PackSettings.build(**given)


@pytest.mark.parametrize("text", ["lr", "=3", "lr:3"])
def test_a_setting_without_key_or_value_is_refused(text):
    with pytest.raises(InputError, match="key=value"):
        PackSettings.build(sets=[text])


def test_settings_survive_their_json():
    settings = PackSettings.build(unknown=7, known=2, paraphrases=1, seed=5, samples=0)
    assert PackSettings.model_validate(settings.to_json()) == settings
