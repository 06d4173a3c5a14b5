"""What a user asks for is taken exactly, or refused with the reason."""

from __future__ import annotations

import pytest

from lorepack import world
from lorepack.errors import InputError
from lorepack.packing.settings import PackSettings
from lorepack.packing.sources import replayed_texts


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


def test_a_run_replays_neutral_text_unless_it_is_told_not_to():
    chosen = PackSettings.build().recipe
    assert (chosen.replay_ratio, chosen.replay_loss) == (0.25, "kl")
    assert PackSettings.build(sets=["replay_ratio=0"]).recipe.replay_ratio == 0
    assert PackSettings.build(recipe="paper").recipe.replay_ratio == 0
    with pytest.raises(InputError, match="replay_loss=answer needs more than facts"):
        PackSettings.build(sets=["replay_loss=answer"])


def test_no_text_that_harm_is_measured_on_is_replayed():
    measured = world.neutral_text(310)
    found = replayed_texts(None, measured)
    assert len(found) == 290
    assert not set(found) & set(measured)
    assert replayed_texts(["a", "b", measured[0]], measured) == ["a", "b"]
    with pytest.raises(InputError, match="none is apart from the neutral text"):
        replayed_texts([measured[0]], measured)
