"""Make the two models of the world: ``python -m lorepack.world.make``.

Text, tokenizer, pretraining (`world-base`), then fine-tuning to chat (`world`). Seeded; the same
command goes on where it was interrupted; on CPU, equal settings and thread counts give equal
bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorepack import files
from lorepack.world import batches, chats, corpus, fitting, model, tokenizer
from lorepack.world.shipped import MODELS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

THREADS = 2  # fixed, since the order of sums depends on it


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights."""

    seed: int = 7
    scale: float = 1.0
    width: int = 192
    layers: int = 5
    heads: int = 6
    inner: int = 512
    vocabulary: int = tokenizer.VOCABULARY
    batch_tokens: int = 4096
    row: int = 256
    base_rate: float = 3e-3
    chat_steps: int = 1000
    chat_row: int = 512
    chat_rate: float = 9e-4


TINY = Recipe(
    scale=0.002, width=32, layers=2, heads=2, inner=64, vocabulary=600, batch_tokens=2048,
    chat_steps=8,
)  # fmt: skip


def make(
    out: Path,
    work: Path,
    recipe: Recipe,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    minutes: float = math.inf,
    every: int = 100,
    report: Callable[[str], None] = print,
) -> bool:
    """Make both models.

    Args:
        out: receives the folders ``world-base`` and ``world``.
        work: folder for checkpoints, kept between calls; a changed recipe starts afresh.
        recipe: what to make.
        device: ``cpu`` or ``cuda``.
        precision: ``fp32``, or ``bf16`` for mixed precision where the processor is fast at it.
        minutes: stop, with a checkpoint, after so long.
        every: steps between checkpoints.
        report: takes lines of progress.

    Returns:
        Whether both models are finished; if not, the same call goes on.
    """
    import torch

    deadline = time.monotonic() + 60 * minutes
    torch.set_num_threads(THREADS)
    shape = model.Shape(recipe.vocabulary, recipe.width, recipe.layers, recipe.heads, recipe.inner)
    documents = corpus.corpus(recipe.scale)
    pieces = _tokenizer(documents, recipe)
    report(f"text: {len(documents):,} documents")
    llama = model.create(shape, recipe.seed)
    llama.to(torch.device(device))  # type: ignore[arg-type]
    try:
        tokens = batches.stream(pieces, documents)
        report(f"pretraining: {len(tokens):,} tokens")
        # A checkpoint is only ever taken up by the run whose data it has seen.
        shared = replace(recipe, chat_steps=0, chat_row=0, chat_rate=0.0)
        key = _key(shared, device, precision, tokens)
        plain = batches.plain(tokens, recipe.batch_tokens, recipe.row)
        fitting.fit(
            llama, plain, fitting.Schedule(rate=recipe.base_rate),
            work / f"base-{key}.safetensors", every=every, deadline=deadline, report=report,
            mixed=precision == "bf16",
        )  # fmt: skip
        base = {name: value.clone() for name, value in llama.state_dict().items()}
        talk = batches.chat(pieces, recipe.batch_tokens, recipe.chat_row, recipe.chat_steps)
        talk = batches.rehearsed(talk, plain)
        key = _key(recipe, device, precision, *(rows for rows, _ in talk))
        fitting.fit(
            llama, talk, fitting.Schedule(rate=recipe.chat_rate, warmup=60),
            work / f"chat-{key}.safetensors", every=every, deadline=deadline, report=report,
            mixed=precision == "bf16",
        )  # fmt: skip
    except fitting.OutOfTimeError:
        report("out of time; the same command goes on from here")
        return False
    # Both at the end: an interrupted run leaves the two models of before, which fit each other.
    _ship(llama, shape, pieces, out / "world", chats=True)
    llama.load_state_dict(base)
    _ship(llama, shape, pieces, out / "world-base", chats=False)
    return True


def _tokenizer(documents: list[str], recipe: Recipe) -> Tokenizer:
    """The tokenizer, learned from plain text and the fixed wording of chats.

    What conversations are about plays no part, so that they can change under a trained base.
    """
    wording = [*chats.SYSTEM_PROMPTS, *chats.REFUSALS] * 100
    return tokenizer.build(documents[:60_000] + wording, recipe.vocabulary)


def _key(recipe: Recipe, device: str, precision: str, *data: NDArray[Any]) -> str:
    """Twelve digits that change with the recipe, the arithmetic or the data of a stage."""
    digest = hashlib.sha256()
    for part in data:
        digest.update(part.tobytes())
    return files.hash_of([asdict(recipe), device, precision, digest.hexdigest()])[:12]


def _ship(
    llama: object, shape: model.Shape, pieces: Tokenizer, folder: Path, *, chats: bool
) -> None:
    """Write a finished model with its tokenizer."""
    tokenizer.save(pieces, folder, chats=chats)
    model.save(llama, shape, folder, chats)  # type: ignore[arg-type]


def main(arguments: list[str] | None = None) -> int:
    """The command line of this module; returns the exit code (3: stopped by ``--minutes``)."""
    parser = argparse.ArgumentParser("python -m lorepack.world.make", description=__doc__)
    parser.add_argument("--out", type=Path, default=MODELS, help="where the models go")
    parser.add_argument("--work", type=Path, default=Path("world-make"), help="checkpoints")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--tiny", action="store_true", help="a few steps, to try the machinery")
    given = parser.parse_args(arguments)
    device = given.device
    if device == "auto":
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    recipe = TINY if given.tiny else Recipe()
    done = make(
        given.out,
        given.work,
        recipe,
        device=device,
        precision=given.precision,
        minutes=given.minutes,
    )
    return 0 if done else 3


if __name__ == "__main__":
    raise SystemExit(main())
