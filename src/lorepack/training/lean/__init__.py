"""Llama's layout in few passes over memory, for training small models on a processor."""

from lorepack.training.lean.decoder import fits, logits

__all__ = ["fits", "logits"]
