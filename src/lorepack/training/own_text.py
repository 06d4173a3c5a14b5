"""Examples to replay: what the base says of itself, and running text."""

from __future__ import annotations

from collections.abc import Sequence

from lorepack.errors import InputError
from lorepack.llm import LanguageModel
from lorepack.llm.generate import generate_ids
from lorepack.training.batches import Example

_TRIES = 4


def own_text(
    lm: LanguageModel,
    starts: Sequence[Sequence[int]],
    count: int,
    seed: int,
    *,
    max_new_tokens: int = 64,
) -> list[Example]:
    """Sample what the base says: replay of what it knows, without its training data.

    Sampling is at temperature 1, so that the texts follow the base's own distribution
    (self-distillation as rehearsal: Robins 1995, pseudo-rehearsal).

    Args:
        lm: the base, no adapter switched on.
        starts: token ids that it goes on from, in turn: prompts of the chat template, or the first
            tokens of a running text.
        count: examples.
        seed: of the draws; an example depends on it and its own number alone.
        max_new_tokens: most tokens that are added.

    Returns:
        Examples whose answer is what was added; count them whole with ``replay_loss=full``.

    Raises:
        InputError: no starts; one that leaves no room in the context; a base that falls silent.
    """
    if not starts:
        raise InputError("own_text: got no starts, expected at least one")
    found: list[Example] = []
    for number in range(0, _TRIES * count, count):
        keys = range(number, number + count)
        said = generate_ids(
            lm,
            [starts[key % len(starts)] for key in keys],
            max_new_tokens=max_new_tokens,
            temperature=1.0,
            seed=seed,
            keys=list(keys),
            until="turn",
        )
        for key, ((*more,),) in zip(keys, said, strict=True):
            start = tuple(starts[key % len(starts)])
            if more:
                found.append(Example((*start, *more), len(start), f"own-{key}"))
        if len(found) >= count:
            return found[:count]
    raise InputError(
        f"own_text: {lm.name} said something {len(found)} times in {_TRIES * count}, expected "
        f"{count}; give other starts"
    )


def running_text(lm: LanguageModel, texts: Sequence[str], length: int) -> list[Example]:
    """Neutral texts as examples to replay, or as a guard to measure harm on.

    Args:
        lm: whose tokenizer reads them.
        texts: one example each.
        length: most tokens of one; what is longer is cut.
    """
    ids = [tuple(lm.chat.text_ids(text))[:length] for text in texts]
    return [Example(one, 0, f"text-{number}") for number, one in enumerate(ids)]
