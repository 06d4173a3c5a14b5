"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
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


model_option = click.option(
    "--model", required=True, metavar="M", help="world, world-base, a model folder or a hub id"
)
facts_option = click.option(
    "--facts", required=True, metavar="F", help="a file (JSONL, CSV, Parquet), or: world"
)
load_options = apply(
    click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, auto"),
    click.option("--dtype", default="auto", show_default=True, help="float32, bfloat16, auto"),
    click.option("--revision", default=None, help="revision of a hub model"),
    click.option("--trust-remote-code", is_flag=True, help="run code that a model brings along"),
)
probe_options = apply(
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


def loading(device: str, dtype: str, revision: str | None, trust_remote_code: bool) -> dict:
    """The loading options as arguments of the API."""
    return {
        "device": device,
        "dtype": dtype,
        "revision": revision,
        "trust_remote_code": trust_remote_code,
    }
