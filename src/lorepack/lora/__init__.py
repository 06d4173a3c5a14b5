"""The mathematics of adapters: targets, specs, the stack, PEFT's files."""

from lorepack.lora.adapter_files import LoadedAdapter, load, save
from lorepack.lora.applied import merged, verify_applied
from lorepack.lora.pissa import Decompositions
from lorepack.lora.site import Factors
from lorepack.lora.spec import AdapterSpec
from lorepack.lora.stack import Stack, is_adapted
from lorepack.lora.targets import ROLES, is_transposed, resolve

__all__ = [
    "ROLES",
    "AdapterSpec",
    "Decompositions",
    "Factors",
    "LoadedAdapter",
    "Stack",
    "is_adapted",
    "is_transposed",
    "load",
    "merged",
    "resolve",
    "save",
    "verify_applied",
]
