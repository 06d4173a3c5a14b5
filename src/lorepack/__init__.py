"""Lorepack writes knowledge into LoRA adapters, proves what was written, and what it cost."""

__version__ = "0.1.0"
