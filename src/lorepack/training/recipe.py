"""The hyper-parameters of one training job, and the presets that ship with the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from lorepack import files
from lorepack.errors import InputError, NotFoundError, suggest

PRESETS = ("paper", "recommended", "dense")


def _parts(value: Any) -> Any:
    """``a,b`` as ``[a, b]``, so that lists can be given on a command line."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_parts), Field(min_length=1)]
Range = Annotated[tuple[int, int], BeforeValidator(_parts)]


class Recipe(BaseModel):
    """The hyper-parameters of one training job.

    Raises:
        InputError: an unknown key (with a suggestion) or a value out of its range.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["lora", "dora"] = "lora"
    init: Literal["kaiming", "pissa"] = "kaiming"
    """how the factors begin: drawn, or as the principal part of the weight"""
    rank: int = Field(ge=1)
    alpha: float = Field(gt=0)
    scaling: Literal["lora", "rslora"] = "lora"
    """alpha/rank or alpha/√rank"""
    targets: Names = ("all-linear",)
    """roles or module suffixes, see `lorepack.lora.resolve`"""
    layers: Range | None = None
    """first and last layer, both inclusive; None for all"""
    dropout: float = Field(0.0, ge=0, lt=1)
    trains: Literal["both", "A", "B"] = "both"
    """which factors change; the other stays as it began, drawn where it would be zero"""
    lr: float = Field(gt=0)
    lora_plus: float = Field(1.0, gt=0)
    """learning rate of B divided by that of A"""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_steps: int = Field(0, ge=0)
    epochs: int = Field(ge=1)
    min_steps: int = Field(0, ge=0)
    """fewest optimizer steps: a small mix takes as many more epochs as that needs"""
    batch_size: int = Field(ge=1)
    """examples a step"""
    weight_decay: float = Field(0.0, ge=0)
    beta2: float = Field(0.999, ge=0, lt=1)
    """decay of AdamW's second moment a step"""
    clip: float | None = Field(1.0, gt=0)
    """largest gradient norm; None for no limit"""
    max_length: int = Field(1024, ge=2)
    """tokens an example"""
    overlong: Literal["error", "cut", "drop"] = "error"
    """what happens to an example beyond max_length or the model's context"""
    loss: Literal["answer", "full", "memft", "memft-sigmoid", "distill", "distill-topk"] = "answer"
    """what is minimised; see `lorepack.training.objectives`"""
    loss_average: Literal["token", "sample"] = "token"
    """a step's loss: the mean over its tokens, or over its examples of each one's mean"""
    memft_threshold: float = Field(0.5, gt=0, lt=1)
    """the probability from which on a token counts as remembered"""
    memft_slope: float = Field(10.0, gt=0)
    """of the sigmoid form, a nat"""
    distill_temperature: float = Field(1.0, gt=0)
    distill_kl_weight: float = Field(1.0, ge=0)
    distill_hidden_weight: float = Field(1.0, ge=0)
    distill_top_k: int = Field(20, ge=1)
    distill_rest: Literal["ignored", "bucket"] = "ignored"
    """what becomes of the teacher's other tokens"""
    replay_ratio: float = Field(0.0, ge=0)
    """examples replayed for each trained one"""
    replay_schedule: Literal["constant", "rising", "falling"] = "constant"
    replay_loss: Literal["full", "answer", "kl"] = "full"
    replay_weight: float = Field(1.0, gt=0)
    kl_weight: float = Field(0.0, ge=0)
    """of KL(base ‖ adapted) on the replayed examples, beside their own loss"""
    early_stop_reliability: float | None = Field(None, ge=0, le=1)
    """stop after the epoch that reaches it; needs a measurement every epoch"""
    max_steps: int | None = Field(None, ge=1)
    max_tokens: int | None = Field(None, ge=1)
    """stop after the step in which so many tokens have counted in the loss"""
    exposures: int | None = Field(None, ge=1)
    """stop after the step in which each fact has been seen so many times"""
    stop_probability: float | None = Field(None, gt=0, lt=1)
    """stop after the epoch in which each token was predicted with more"""
    harm_budget: float | None = Field(None, ge=0)
    """stop after the epoch in which KL(base ‖ adapted) on the guard exceeds it, nats a token"""
    checkpoint_every: int = Field(100, ge=1)
    """steps; an epoch's end is always kept"""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(f"recipe: {_explain(error)}") from None

    @model_validator(mode="after")
    def _ordered(self) -> Recipe:
        if self.layers is not None and not 0 <= self.layers[0] <= self.layers[1]:
            raise ValueError("layers: expected first,last with 0 <= first <= last")
        if self.kind == "dora" and self.init == "pissa":
            raise ValueError("kind dora with init pissa: not supported, choose one of the two")
        return self

    @model_validator(mode="after")
    def _agrees(self) -> Recipe:
        if self.kl_weight and not self.replay_ratio:
            raise ValueError("kl_weight needs replayed examples: set replay_ratio above 0")
        if self.kl_weight and self.replay_loss == "kl":
            raise ValueError("replay_loss=kl has replay_weight for its weight: leave kl_weight 0")
        if not self.distill_kl_weight and not self.distill_hidden_weight:
            raise ValueError("distill_kl_weight and distill_hidden_weight: got 0 for both")
        if self.max_steps is not None and self.max_steps < self.min_steps:
            raise ValueError(
                f"max_steps: got {self.max_steps}, below min_steps {self.min_steps}; lower that too"
            )
        return self

    @classmethod
    def named(cls, name: str | Path) -> Recipe:
        """A preset by name, or a recipe from a YAML file by path.

        Raises:
            NotFoundError: neither a preset nor a file.
            InputError: see `load`.
        """
        if str(name) in PRESETS:
            text = resources.files("lorepack.training").joinpath(f"recipes/{name}.yaml").read_text()
            return cls(**_mapping(text, f"recipe {name}"))
        if not Path(name).is_file():
            raise NotFoundError(
                f"recipe {name}: no such preset or file{suggest(str(name), PRESETS)}"
            )
        return cls.load(name)

    @classmethod
    def load(cls, path: Path | str) -> Recipe:
        """Read a YAML file; keys that are left out keep the recommended values.

        Raises:
            InputError: not YAML, not a mapping, an unknown key, a value out of its range.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not a text file ({error})") from error
        try:
            return cls.named("recommended")._changed(_mapping(text, str(path)))
        except InputError as error:
            message = str(error).removeprefix("recipe: ")
            raise InputError(
                message if message.startswith(str(path)) else f"{path}: {message}"
            ) from None

    def save(self, path: Path | str) -> None:
        """Write the recipe as YAML that `load` reads back to an equal one."""
        files.write_text(path, yaml.safe_dump(self.model_dump(mode="json"), sort_keys=True))

    def override(self, sets: Mapping[str, str] | Sequence[str]) -> Recipe:
        """A copy with values given as text, as on a command line.

        Args:
            sets: ``{"rank": "4"}`` or ``["rank=4"]``; ``none`` empties an optional value.

        Raises:
            InputError: not key=value, an unknown key, a value out of its range.
        """
        if not isinstance(sets, Mapping):
            broken = [item for item in sets if "=" not in item]
            if broken:
                raise InputError(f"recipe: got {broken[0]!r}, expected key=value")
            sets = dict(item.split("=", 1) for item in sets)
        return self._changed({k: None if _is_none(v) else v for k, v in sets.items()})

    def _changed(self, values: Mapping[str, Any]) -> Recipe:
        return type(self)(**{**self.model_dump(), **{k.strip(): v for k, v in values.items()}})


def _is_none(value: object) -> bool:
    return isinstance(value, str) and value.strip().lower() in {"none", "null", ""}


def _mapping(text: str, where: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{where}: not valid YAML ({' '.join(str(error).split())})") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise InputError(f"{where}: expected 'key: value' lines")
    return values


def _explain(error: ValidationError) -> str:
    """All faults in one line: key, what was got, what was expected."""
    faults = []
    for fault in error.errors():
        key = str(fault["loc"][0]) if fault["loc"] else ""
        if fault["type"] == "extra_forbidden":
            faults.append(f"unknown key {key!r}{suggest(key, Recipe.model_fields)}")
        elif fault["type"] == "missing" and len(fault["loc"]) == 1:
            faults.append(f"{key} is missing")
        elif not key:
            faults.append(fault["msg"].removeprefix("Value error, "))
        else:
            got = fault["input"]
            faults.append(f"{key}: got {got!r}, {_expected(fault['msg'])}")
    return "; ".join(faults)


def _expected(message: str) -> str:
    if message == "Field required":
        return "expected one value more"
    return "expected " + message.removeprefix("Input should be ")
