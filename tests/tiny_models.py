"""Random models of a few thousand parameters, one for each architecture that is promised to work.

Their weights are wide enough that two tokens never tie for the highest logit, so that greedy
decoding has one answer; windows are short enough that a test prompt leaves them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import transformers as hf
from transformers import PreTrainedConfig, PreTrainedModel

VOCABULARY = 256
WIDTH = 32
LAYERS = 2
CONTEXT = 256
WINDOW = 16

_SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": CONTEXT,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,  # tied random embeddings repeat one token for ever
}
_MIXED = {"head_dim": 8, "sliding_window": WINDOW, "query_pre_attn_scalar": 8}
_MIXED["layer_types"] = ["sliding_attention", "full_attention"]  # type: ignore[assignment]


def _gpt2() -> PreTrainedConfig:
    kept = ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id", "tie_word_embeddings")
    size = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 4, "n_positions": CONTEXT}
    return hf.GPT2Config(**{name: _SHAPE[name] for name in kept}, **size)


_CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "llama": lambda: hf.LlamaConfig(**_SHAPE),
    "mistral": lambda: hf.MistralConfig(**_SHAPE, sliding_window=WINDOW),
    "qwen2": lambda: hf.Qwen2Config(**_SHAPE),
    "qwen3": lambda: hf.Qwen3Config(**_SHAPE, head_dim=8),
    "gemma2": lambda: hf.Gemma2Config(**_SHAPE, **_MIXED),
    "gemma3": lambda: hf.Gemma3TextConfig(**_SHAPE, **_MIXED),
    "phi3": lambda: hf.Phi3Config(**_SHAPE),
    "gpt2": _gpt2,
    "olmo2": lambda: hf.Olmo2Config(**_SHAPE),
}
FAMILIES = tuple(sorted(_CONFIGS))


def tiny(family: str, seed: int = 0) -> PreTrainedModel:
    """A frozen random model: 2 layers, width 32, vocabulary 256, fp32, in eval mode.

    Args:
        family: one of ``FAMILIES``.
        seed: equal seeds, equal weights.
    """
    config = _CONFIGS[family]()
    model = hf.AutoModelForCausalLM.from_config(config)
    draw = torch.Generator().manual_seed(seed)
    for _, weight in sorted(model.named_parameters()):
        if weight.ndim >= 2:
            scale = (
                0.2 if weight is model.get_input_embeddings().weight else weight.shape[-1] ** -0.5
            )
            weight.data = torch.randn(weight.shape, generator=draw) * scale
    model.generation_config.eos_token_id = None  # a random model would stop anywhere
    return model.requires_grad_(False).eval()
