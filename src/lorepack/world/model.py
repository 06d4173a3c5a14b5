"""The tiny Llama of the world: its shape, its birth, its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorepack import files
from lorepack.world.tokenizer import BOS, CONTEXT, END, EOS, PAD, SPECIAL

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM


@dataclass(frozen=True)
class Shape:
    """Sizes of the model."""

    vocabulary: int
    width: int = 192
    layers: int = 6
    heads: int = 6
    inner: int = 512


def configuration(shape: Shape) -> dict[str, Any]:
    """The content of ``config.json``."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": SPECIAL.index(BOS),
        "dtype": "bfloat16",
        "eos_token_id": SPECIAL.index(EOS),
        "head_dim": shape.width // shape.heads,
        "hidden_act": "silu",
        "hidden_size": shape.width,
        "initializer_range": 0.02,
        "intermediate_size": shape.inner,
        "max_position_embeddings": CONTEXT,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.heads,
        "pad_token_id": SPECIAL.index(PAD),
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": shape.vocabulary,
    }


def generation(chats: bool) -> dict[str, Any]:
    """The content of ``generation_config.json``; the chat model also stops at a turn's end."""
    stops = [SPECIAL.index(EOS), SPECIAL.index(END)]
    return {
        "bos_token_id": SPECIAL.index(BOS),
        "do_sample": False,
        "eos_token_id": stops if chats else stops[:1],
        "max_new_tokens": 48,
        "pad_token_id": SPECIAL.index(PAD),
    }


def create(shape: Shape, seed: int) -> LlamaForCausalLM:
    """A model with fresh fp32 weights; equal seeds give equal weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**{**configuration(shape), "dtype": "float32"})).float()


def save(model: LlamaForCausalLM, shape: Shape, folder: Path, chats: bool) -> None:
    """Write configuration and bf16 weights, whole or not at all, equal bytes for equal weights."""
    import torch
    from safetensors.torch import save as to_bytes

    state = {
        name: value.detach().to("cpu", torch.bfloat16).contiguous()
        for name, value in model.state_dict().items()
        if name != "lm_head.weight"  # tied to the embeddings
    }
    files.write_bytes(folder / "model.safetensors", to_bytes(state, metadata={"format": "pt"}))
    files.write_json(folder / "generation_config.json", generation(chats))
    files.write_json(folder / "config.json", configuration(shape))
