"""Options that several verbs share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def apply(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator from several, in reading order."""

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def gathered(name: str, keys: tuple[str, ...], *options: Callable[[F], F]) -> Callable[[F], F]:
    """Options whose values reach the verb as one dict, with the API's own argument names.

    Args:
        name: the verb's parameter that takes the dict.
        keys: parameters that the options make.
        options: click's decorators.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def inner(**given: Any) -> Any:
            part = {key: given.pop(key) for key in keys}
            return function(**given, **{name: part})

        return apply(*options)(inner)  # type: ignore[arg-type, return-value]

    return decorate


model_option = click.option(
    "--model", required=True, metavar="M", help="world, world-base, a model folder or a hub id"
)
facts_option = click.option(
    "--facts", required=True, metavar="F", help="a file (JSONL, CSV, Parquet), or: world"
)
budget_option = click.option(
    "--budget",
    multiple=True,
    metavar="MEASURE=LIMIT",
    help="keep harm within it: neutral_kl, negative_shift, refusals, perplexity, or a task",
)
log_to_option = click.option(
    "--log-to",
    multiple=True,
    type=click.Choice(["tensorboard", "trackio", "wandb"]),
    help="where training's values go besides its files",
)
load_options = gathered(
    "load",
    ("device", "dtype", "quantize", "revision", "trust_remote_code"),
    click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, auto"),
    click.option("--dtype", default="auto", show_default=True, help="float32, bfloat16, auto"),
    click.option(
        "--quantize", type=click.Choice(["4bit"]), help="the frozen base in 4 bits (CUDA only)"
    ),
    click.option("--revision", default=None, help="revision of a hub model"),
    click.option("--trust-remote-code", is_flag=True, help="run code that a model brings along"),
)
OWN_SETTINGS = ("controls", "refusals")
"""settings of a probe that have options of their own"""


def _as_sets(function: F) -> F:
    """Options of a probe that are settings: what is given is added to the verb's ``--set``."""

    @functools.wraps(function)
    def inner(**given: Any) -> Any:
        for key in OWN_SETTINGS:
            value = given.pop(key)
            if value is None:
                continue
            if any(
                text.partition("=")[0].strip() in (key, f"probe.{key}") for text in given["sets"]
            ):
                raise click.UsageError(f"{key} is given twice: as --{key} and in --set")
            given["sets"] = (*given["sets"], f"probe.{key}={value}")
        return function(**given)

    return inner  # type: ignore[return-value]


probe_options = gathered(
    "probing",
    ("preset", "samples", "seed", "sets"),
    click.option(
        "--controls",
        type=click.IntRange(min=0),
        help="questions a relation about what does not exist: how much is known by luck?",
    ),
    click.option("--refusals", metavar="FILE", help="what counts as declining to answer (YAML)"),
    _as_sets,
    click.option(
        "--preset",
        default="recommended",
        show_default=True,
        type=click.Choice(["recommended", "paper"]),
        help="how facts are probed",
    ),
    click.option("--samples", type=click.IntRange(min=0), help="sampled answers a prompt; 0: none"),
    click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0)),
    click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="any other setting"),
)
stack_options = gathered(
    "stack",
    ("slots", "tokens", "workers"),
    click.option("--slots", type=click.IntRange(min=1), help="most adapters in the stack at once"),
    click.option("--tokens", type=click.IntRange(min=1), help="most tokens of one forward pass"),
    click.option(
        "--workers",
        type=click.IntRange(min=1),
        help="most processes  [default: one a CPU thread]",
    ),
    click.option("--max-jobs", type=click.IntRange(min=1), help="most jobs  [default: 1000]"),
)


def token_counter(model: str) -> Callable[[Sequence[str]], list[int]]:
    """How many tokens of a model each of several texts has; loads its tokenizer."""
    from lorepack import llm

    tokenizer = llm.load_tokenizer(model)
    return lambda texts: [
        len(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    ]
