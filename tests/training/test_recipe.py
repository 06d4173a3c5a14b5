"""Recipes: presets, files, overrides, and faults told in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.errors import InputError, NotFoundError
from lorepack.training import Recipe
from training.toy import made, recipe

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "kind": st.sampled_from(["lora", "dora"]),
    "trains": st.sampled_from(["both", "A", "B"]),
    "lora_plus": st.floats(1e-2, 64),
    "loss_average": st.sampled_from(["token", "sample"]),
    "rank": st.integers(1, 512),
    "alpha": st.floats(1e-3, 1e3),
    "scaling": st.sampled_from(["lora", "rslora"]),
    "targets": st.lists(st.sampled_from(["mlp", "attention", "q_proj"]), min_size=1),
    "layers": st.none() | st.tuples(st.integers(0, 9), st.integers(9, 20)),
    "dropout": st.floats(0, 0.99),
    "lr": st.floats(1e-9, 1.0),
    "schedule": st.sampled_from(["linear", "cosine", "constant"]),
    "beta2": st.floats(0, 0.9999),
    "clip": st.none() | st.floats(1e-3, 10),
    "early_stop_reliability": st.none() | st.floats(0, 1),
    "overlong": st.sampled_from(["error", "cut", "drop"]),
}


def test_the_paper_preset_is_the_published_recipe() -> None:
    paper = Recipe.named("paper")
    assert (paper.rank, paper.alpha, paper.scaling, paper.targets) == (1, 2, "rslora", ("mlp",))
    assert (paper.lr, paper.dropout, paper.batch_size, paper.epochs) == (1e-3, 0.1, 16, 10)
    assert (paper.weight_decay, paper.warmup_steps, paper.schedule) == (0, 0, "linear")
    assert (paper.clip, paper.max_length, paper.loss) == (1, 768, "full")


def test_the_recommended_preset_loads() -> None:
    assert Recipe.named("recommended").loss == "answer"


def test_the_dense_preset_takes_every_linear_layer_and_answers_alone() -> None:
    dense = Recipe.named("dense")
    assert (dense.rank, dense.targets, dense.loss) == (2, ("all-linear",), "answer")
    assert (dense.dropout, dense.weight_decay, dense.schedule) == (0, 0, "linear")
    assert dense.warmup_steps > 0


@given(changes=st.fixed_dictionaries({}, optional=VALUES))
def test_any_recipe_survives_its_file(changes: dict[str, Any], tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    wanted = recipe(**changes)
    wanted.save(path)
    assert Recipe.named(path) == wanted


def test_a_file_names_only_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("rank: 2\nlr: 1e-4\nlayers: [0, 3]\n")
    mine = Recipe.named(str(path))
    same = Recipe.named("recommended").override(["rank=2", "lr=0.0001", "layers=0,3"])
    assert mine == same
    assert (mine.rank, mine.lr, mine.layers) == (2, 1e-4, (0, 3))


def test_overrides_are_text() -> None:
    changed = recipe().override(
        {"rank": "16", "lr": "2e-3", "targets": "attention, down_proj", "clip": "none"}
    )
    assert (changed.rank, changed.lr, changed.clip) == (16, 2e-3, None)
    assert changed.targets == ("attention", "down_proj")
    assert changed.batch_size == recipe().batch_size


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({"rnk": "4"}, "unknown key 'rnk'; did you mean rank?"),
        ({"rank": "0"}, "rank: got '0', expected greater than or equal to 1"),
        ({"rank": "many"}, "rank: got 'many', expected a valid integer"),
        ({"lr": "0"}, "lr: got '0'"),
        ({"lr": "nan"}, "lr: got 'nan'"),
        ({"dropout": "1"}, "dropout: got '1', expected less than 1"),
        ({"schedule": "cosin"}, "schedule: got 'cosin'"),
        ({"layers": "3"}, "layers: got ['3']"),
        ({"layers": "4,2"}, "expected first,last with 0 <= first <= last"),
        ({"early_stop_reliability": "1.5"}, "early_stop_reliability: got '1.5'"),
        (
            {"rank": "0", "epochs": "0"},
            "rank: got '0', expected greater than or equal to 1; epochs",
        ),
        (["rank"], "got 'rank', expected key=value"),
    ],
)
def test_faults_are_named_in_one_line(sets: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        recipe().override(sets)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_values_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="alpha is missing"):
        Recipe(rank=1, lr=1e-3, epochs=1, batch_size=1)
    with pytest.raises(NotFoundError, match="did you mean recommended"):
        Recipe.named("recomended")
    broken = tmp_path / "broken.yaml"
    for text, message in (
        ("rank: [1", "not valid YAML"),
        ("- rank", "expected 'key: value' lines"),
        ("rank: -1", "rank: got -1"),
        ("rankk: 1", "did you mean rank"),
    ):
        broken.write_text(text)
        with pytest.raises(InputError, match=message) as caught:
            Recipe.named(broken)
        assert str(caught.value).startswith(str(broken))
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        Recipe.named(broken)


def test_a_small_mix_takes_as_many_epochs_as_the_fewest_steps_need():
    from lorepack.training.batches import fit
    from lorepack.training.job import Job

    data = fit(made(5), limit=64, rule="error", whole=False, vocabulary=256)

    def epochs(**values: object) -> int:
        settings = recipe(batch_size=2, **values)
        return Job(settings, spec=None, data=data, seed=0, provenance={}).total_steps // 3

    assert epochs(epochs=4) == 4
    assert epochs(epochs=4, min_steps=12) == 4
    assert epochs(epochs=4, min_steps=13) == 5
