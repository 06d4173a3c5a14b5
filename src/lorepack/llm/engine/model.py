"""A model as the engine sees it: a layout in, the wanted logits out.

Transformers lets a configuration name the function that attends; for the time of a pass it is
ours. All else is the model's own code, hooks included.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from lorepack.llm.cache import is_plain, layer_count
from lorepack.llm.engine import lean
from lorepack.llm.engine.attention import Form
from lorepack.llm.engine.layout import Cascade, Fresh, Going, Layout
from lorepack.llm.engine.states import Context, Slots
from lorepack.llm.memory import is_shortage

_NAME = "lorepack_cascade"
_WHOLE = (torch.float32, torch.float64)
_NEAR, _NEAR_HALF = 1e-3, 0.1
"""largest difference of a logit from the model's own, relative to the largest one"""
_LEAN: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
_FITS: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()
_current: list[Cascade] = []
"""of the pass that is under way"""


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **further: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in every layer: query ``(1, H, N, D)``, key and value
    ``(1, G, N, D)``; gives ``(1, N, H, D)``."""
    if further.get("s_aux") is not None:
        raise NotImplementedError("attention sinks")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    form = Form(scale, sliding_window, softcap)
    query, key, value = (x[0].transpose(0, 1) for x in (query, key, value))
    return _current[-1](query, key, value, form)[None], None


ALL_ATTENTION_FUNCTIONS.register(_NAME, _attend)


class Model:
    """A transformers causal language model, run on layouts.

    Args:
        model: hooks on its modules are honoured.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self.layers = layer_count(model.config)
        accepted = inspect.signature(model.forward).parameters
        self._keeps = "logits_to_keep" in accepted
        self.lean = _LEAN.get(model, False) and lean.possible(model)

    @property
    def token_bytes(self) -> int:
        """Bytes that the states of one token take."""
        config = self.model.config.get_text_config(decoder=True)
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return int(2 * self.layers * heads * size * self.model.dtype.itemsize)

    def run(self, layout: Layout, slots: Slots | None = None, early: bool = True) -> Tensor:
        """The wanted logits ``(W, V)``, in the order of ``layout.last``.

        Args:
            layout: the tokens.
            slots: where rows keep their states.
            early: whether what is not wanted may be left out; see ``lean.logits``.
        """
        cascade = Cascade(layout, slots)
        if self.lean:
            with torch.inference_mode():
                return lean.logits(self.model, layout, cascade, early)
        return self.through(self.model, layout, cascade)

    def through(self, call: Callable[..., Any], layout: Layout, cascade: Cascade) -> Tensor:
        """``run`` by the model's own code, ``call``ed as itself or as its forward method."""
        keep = {"logits_to_keep": layout.last} if self._keeps else {}
        with torch.inference_mode(), attending(self.model, cascade):
            out = call(
                input_ids=layout.ids[None],
                position_ids=layout.places[None],
                use_cache=False,
                **keep,
            )
        if cascade.layers != self.layers:
            raise NotImplementedError("attention that does not ask for its function")
        logits: Tensor = out.logits[0]
        return logits if self._keeps else logits[layout.last]


@contextmanager
def attending(model: nn.Module, cascade: Cascade) -> Iterator[None]:
    """The model attends by ``cascade`` in the block, and then as before."""
    found = (getattr(module, "config", None) for module in model.modules())
    configs: dict[int, Any] = {id(c): c for c in found if hasattr(c, "_attn_implementation")}
    before = [(config, config._attn_implementation) for config in configs.values()]
    _current.append(cascade)
    try:
        for config, _ in before:
            config._attn_implementation = _NAME
        yield
    finally:
        _current.pop()
        for config, name in before:
            config._attn_implementation = name


def fits(model: Any) -> bool:
    """Whether the engine computes what the model would: its kind is known to allow it, and a few
    tokens with a shared prefix give the model's own logits. Compared once a model.
    """
    if not _may(model):
        return False
    if model not in _FITS:
        agrees = _agrees(model)
        if agrees is None:  # nothing to compare: NaN
            return False
        _FITS[model] = agrees
    return _FITS[model]


def _may(model: Any) -> bool:
    if not is_plain(model.config):
        return False
    if "position_ids" not in inspect.signature(model.forward).parameters:
        return False
    config = model.config.get_text_config(decoder=True)
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    kinds = [rope, *(part for part in rope.values() if isinstance(part, dict))]
    # Their angles depend on the longest row of a pass.
    return not any(kind.get("rope_type") in ("dynamic", "longrope") for kind in kinds)


@torch.inference_mode()
def _agrees(model: Any) -> bool | None:
    """Two rows behind one prefix, by the engine and by the model alone; None where it says NaN.

    Hooks on the whole model are passed by: they may count on the caller's prompts.
    """
    engine = Model(model)
    vocabulary = int(model.config.get_text_config(decoder=True).vocab_size)
    ids = [(7 + 3 * i) % vocabulary for i in range(12)]
    rows = [ids[:5] + ids[5:9], ids[:5] + ids[9:]]
    alone = [torch.tensor([row], device=engine.device) for row in rows]
    own = [model.forward(input_ids=row, use_cache=False).logits[0, -1].float() for row in alone]
    expected = torch.stack(own)
    if not bool(expected.isfinite().all()):
        return None
    near = (_NEAR if model.dtype in _WHOLE else _NEAR_HALF) * expected.abs().max()

    def close(run: Callable[[Layout, Cascade], Tensor]) -> bool:
        base, shared = Context(0, None), Context(5, None)
        passes = [Fresh(ids[:5], base, makes=shared)], [Fresh(row[5:], shared) for row in rows]
        try:
            for rows_ in passes:
                layout = Layout(rows_, Going.none(), [], engine.device)
                found = run(layout, Cascade(layout, None))
        except Exception as error:  # whatever its code does with a layout it does not expect
            if is_shortage(error):
                raise
            return False
        return bool((found.float() - expected).abs().max() <= near)

    if lean.possible(model):
        _LEAN[model] = close(lambda layout, cascade: lean.logits(model, layout, cascade, True))
    return close(lambda layout, cascade: engine.through(model.forward, layout, cascade))
