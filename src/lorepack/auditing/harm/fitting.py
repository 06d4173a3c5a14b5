"""Shots that fit: of an item too long for the context, the last shots are left out.

The rule: the shots of an item are drawn as the harness draws them; where item and shots do not
fit, the last ones are left out, as few as will do. The first ones stay, so that items of a task
still begin alike and what they share is computed once. An item that does not fit without any shot
is over-long: it is asked without shots, cut on the left as the harness cuts it, and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

RULE = (
    "the last shots of an item are left out until it fits the context, as few as will do; items "
    "too long without shots are cut on the left, scored, and counted as overlong"
)


@dataclass
class Shots:
    """How many shots each item of a task got, in the order of the items."""

    asked: int
    used: list[int] = field(default_factory=list)
    overlong: int = 0


class _Draw:
    """The harness's sampler, giving the first shots of one draw an item."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler
        self.keep = 0
        self._drawn: Sequence[Any] | None = None

    def renew(self) -> None:
        self._drawn = None

    def sample(self, n: int, eval_doc: Any = None, **options: Any) -> Sequence[Any]:
        if self._drawn is None:
            self._drawn = self.sampler.sample(n=n, eval_doc=eval_doc, **options)
        return self._drawn[: self.keep]

    def set_rnd(self, seed: int | None) -> None:
        self.sampler.set_rnd(seed)


def fit(task: Any, model: Any) -> Shots:
    """Make a task of the harness leave out shots that do not fit.

    Args:
        task: a harness task whose ``num_fewshot`` is set.
        model: a `HarnessModel`; it says what fits.

    Returns:
        What will be known once the task has built its requests.
    """
    shots = Shots(int(task.config.num_fewshot or 0))
    if shots.asked:
        task.sampler = draw = _Draw(task.sampler)
    build = task.fewshot_context

    def fewshot_context(doc: Any, num_fewshot: int = 0, **options: Any) -> Any:
        for keep in range(num_fewshot, -1, -1):
            if num_fewshot:
                if keep == num_fewshot:
                    draw.renew()
                draw.keep = keep
            context = build(doc, num_fewshot=num_fewshot, **options)
            if fits(task, model, doc, context, options):
                break
        else:
            shots.overlong += 1
        shots.used.append(keep)
        return context

    task.fewshot_context = fewshot_context
    return shots


def fits(task: Any, model: Any, doc: Any, context: Any, options: dict[str, Any]) -> bool:
    """Whether all requests of an item are read whole, the room for a written answer included."""
    made = task.construct_requests(
        doc=doc,
        ctx=context,
        metadata=(task.config["task"], 0, 1),
        apply_chat_template=options.get("apply_chat_template", False),
        chat_template=options.get("chat_template"),
    )
    requests = made if isinstance(made, list) else [made]
    return all(_fits(model, request) for request in requests)


def _fits(model: Any, request: Any) -> bool:
    if request.request_type == "loglikelihood_rolling":
        return True  # read in windows
    if request.request_type == "generate_until":
        text, kwargs = request.args
        room = model.lm.context - model.written(kwargs)[1]
        return _surely(text, room) or len(model.tok_encode(text)) <= room
    context, continuation = request.args
    room = model.lm.context
    return _surely(context + continuation, room) or model.fits(model.length(context, continuation))


def _surely(text: str, room: int) -> bool:
    """Whether a text is so short that it fits with any tokenizer: no token is less than a byte."""
    return len(text.encode()) + 4 <= room  # BOS and the like
