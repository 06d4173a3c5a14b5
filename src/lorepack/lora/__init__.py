"""The mathematics of adapters: targets, specs, the stack, PEFT's files."""

from lorepack.lora.adapter_files import LoadedAdapter, load, save
from lorepack.lora.applied import merged, verify_applied
from lorepack.lora.spec import AdapterSpec
from lorepack.lora.stack import Factors, Stack
from lorepack.lora.targets import ROLES, is_transposed, resolve

__all__ = [
    "ROLES",
    "AdapterSpec",
    "Factors",
    "LoadedAdapter",
    "Stack",
    "is_transposed",
    "load",
    "merged",
    "resolve",
    "save",
    "verify_applied",
]
