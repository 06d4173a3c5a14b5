"""What a run is asked to do: everything that decides its bytes, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from lorepack.auditing.budget import BudgetSettings
from lorepack.errors import InputError
from lorepack.probing import ProbeSettings
from lorepack.training import Recipe
from lorepack.training.objectives import trained_term

REPLAY = {"replay_ratio": "0.25", "replay_loss": "kl", "replay_weight": "3"}
"""what the recommended recipe replays in a run: neutral text, on which the base is to be kept; see
docs/packing.md for what it saves"""


class MixSettings(BaseModel):
    """How the training data of one adapter is put together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unknown: int | Literal["all"] = "all"
    """Unknown facts to train"""
    known: int = 0
    """HighlyKnown facts added per Unknown fact"""
    paraphrases: int = 0
    """other wordings added per Unknown fact"""
    selection: Literal["stratified", "positional"] = "stratified"
    """``positional`` takes the first in file order, as published"""
    answer_cap: float | None = None
    """largest share of the Unknown facts that one answer may have"""
    allow_lucky: bool = False
    """whether facts known by luck may be in the mix as HighlyKnown ones"""


class PackSettings(BaseModel):
    """All settings of a run, written to ``run.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    mix: MixSettings = MixSettings()
    probe: ProbeSettings
    recipe: Recipe
    epoch_curve: bool = False
    """whether reliability is measured after every epoch"""
    budget: BudgetSettings | None = None
    """limits of harm that the adapter is to keep to"""

    @classmethod
    def build(
        cls,
        *,
        unknown: int | str = "all",
        known: int = 0,
        paraphrases: int = 0,
        rank: int | None = None,
        recipe: str = "recommended",
        preset: str = "recommended",
        seed: int = 0,
        sets: Mapping[str, str] | Sequence[str] = (),
        epoch_curve: bool = False,
        answer_cap: float | None = None,
        samples: int | None = None,
        allow_lucky: bool = False,
        budget: Mapping[str, Any] | Sequence[str] = (),
    ) -> PackSettings:
        """Settings from what a user gives; see `lorepack.pack` for the arguments.

        Raises:
            InputError: an unknown key (with a suggestion) or a value out of its range.
        """
        budget_sets, sets = split_budget(sets)
        probe_sets, recipe_sets = split_sets(sets)
        limited = budget_settings(budget, budget_sets)
        put(probe_sets, "samples", samples, "probe.samples")
        put(recipe_sets, "rank", rank, "rank")
        if recipe == "recommended":
            recipe_sets = {**REPLAY, **recipe_sets}
        chosen = Recipe.named(recipe).override(recipe_sets)
        _refuse_unfed(chosen, guarded=limited is not None)
        mix = MixSettings(
            unknown=parse_unknown(unknown),
            known=at_least_zero("known", known),
            paraphrases=at_least_zero("paraphrases", paraphrases),
            selection="positional" if recipe == "paper" else "stratified",
            answer_cap=share("answer_cap", answer_cap),
            allow_lucky=allow_lucky,
        )
        probe = ProbeSettings.named(preset).override({"seed": str(seed), **probe_sets})
        return cls(
            seed=seed, mix=mix, probe=probe, recipe=chosen, epoch_curve=epoch_curve, budget=limited
        )

    def to_json(self) -> dict[str, Any]:
        """The settings as a JSON object."""
        return self.model_dump(mode="json")


def budget_settings(
    limits: Mapping[str, Any] | Sequence[str], sets: Mapping[str, str]
) -> BudgetSettings | None:
    """The budget that a user asks for; None where no limit is given.

    Raises:
        InputError: a limit that cannot be used, or settings without a limit.
    """
    if limits:
        return BudgetSettings.build(limits, sets)
    if sets:
        raise InputError(
            f"budget.{min(sets)} is set, but no limit is given: --budget MEASURE=LIMIT"
        )
    return None


def _refuse_unfed(recipe: Recipe, guarded: bool) -> None:
    """A run of `pack` has facts, texts to replay, and with a budget texts to measure harm on."""
    asked = {
        f"replay_loss={recipe.replay_loss}": recipe.replay_ratio > 0
        and recipe.replay_loss == "answer",
        f"harm_budget={recipe.harm_budget}": recipe.harm_budget is not None and not guarded,
        f"loss={recipe.loss}": trained_term(recipe).objective.in_context,
    }
    for setting, needs_more in asked.items():
        if needs_more:
            raise InputError(
                f"{setting} needs more than facts, which pack does not take: train with "
                "`lorepack train` and a file of jobs, which names it"
            )


def parse_unknown(value: int | str) -> int | Literal["all"]:
    """The number of Unknown facts to train: a count of at least 1, or ``all``."""
    if value == "all":
        return "all"
    try:
        count = int(value)
    except ValueError:
        raise InputError(f"unknown={value!r}: expected a number or 'all'") from None
    if count < 1:
        raise InputError(f"unknown={count}: expected at least 1, or 'all'")
    return count


def at_least_zero(name: str, value: int) -> int:
    """``value`` if it is not negative."""
    if value < 0:
        raise InputError(f"{name}={value}: expected 0 or more")
    return value


def share(name: str, value: float | None) -> float | None:
    """``value`` if it is a share above 0 and up to 1, or None."""
    if value is not None and not 0 < value <= 1:
        raise InputError(f"{name}={value}: expected a share above 0 and up to 1")
    return value


def put(sets: dict[str, str], key: str, value: object, told: str) -> None:
    """Add an option's value to the settings of its key.

    Raises:
        InputError: both the option and a setting of the same key were given.
    """
    if value is None:
        return
    if key in sets:
        raise InputError(f"{key} given twice: as an option ({value}) and as --set {told}")
    sets[key] = str(value)


def split_sets(sets: Mapping[str, str] | Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Sort ``key=value`` settings into those of the probe (``probe.key``) and of the recipe."""
    pairs = sets if isinstance(sets, Mapping) else dict(_pair(text) for text in sets)
    probe = {k.removeprefix("probe."): v for k, v in pairs.items() if k.startswith("probe.")}
    return probe, {k: v for k, v in pairs.items() if not k.startswith("probe.")}


def split_budget(
    sets: Mapping[str, str] | Sequence[str],
) -> tuple[dict[str, str], dict[str, str]]:
    """Sort ``key=value`` settings into those of the budget (``budget.key``) and the others."""
    pairs = sets if isinstance(sets, Mapping) else dict(_pair(text) for text in sets)
    budget = {k.removeprefix("budget."): v for k, v in pairs.items() if k.startswith("budget.")}
    return budget, {k: v for k, v in pairs.items() if not k.startswith("budget.")}


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise InputError(f"--set {text!r}: expected key=value, for example --set lr=0.001")
    return key.strip(), value.strip()
