"""What can be loaded here without a network: the embedded models and the local hub cache."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lorepack import world
from lorepack.errors import LorepackError
from lorepack.llm.source import folder_of, read_config
from lorepack.llm.weights import stored_tensors

_DTYPES = {"bfloat16": 2, "float32": 4}  # bytes a weight
_OVERHEAD = 1.25  # activations and caches beside the weights, roughly


@dataclass(frozen=True, slots=True)
class Available:
    """A model that ``load`` would find here.

    Attributes:
        name: what to give as the model.
        origin: ``embedded`` or ``hub cache``.
        architecture: model type of its config; empty where it cannot be read.
        parameters: number of weights.
        memory: bytes of memory it needs by dtype, a rough estimate for answering questions.
        problem: why it cannot be loaded; empty when it can.
    """

    name: str
    origin: str
    architecture: str
    parameters: int
    memory: dict[str, int]
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON values."""
        return asdict(self)


def available() -> list[Available]:
    """Models that are embedded or in the local hub cache, embedded first, then by name."""
    found = []
    for name in world.NAMES:
        try:
            found.append(_look(name, "embedded", folder_of(name)))
        except LorepackError as error:
            found.append(Available(name, "embedded", "", 0, {}, str(error)))
    for name, folder in sorted(_cached().items()):
        found.append(_look(name, "hub cache", folder))
    return found


def _look(name: str, origin: str, folder: Path) -> Available:
    try:
        kind = str(read_config(folder)["model_type"])
        weights = sum(tensor.size for tensor in stored_tensors(folder).values())
    except LorepackError as error:
        return Available(name, origin, "", 0, {}, str(error))
    memory = {dtype: int(weights * size * _OVERHEAD) for dtype, size in _DTYPES.items()}
    return Available(name, origin, kind, weights, memory)


def _cached() -> dict[str, Path]:
    """Newest snapshot of every causal language model in the local hub cache, by hub id."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return {}
    found = {}
    for repo in sorted(repos, key=lambda repo: str(repo.repo_id)):
        newest = max(repo.revisions, key=lambda r: (r.last_modified, r.commit_hash), default=None)
        if repo.repo_type != "model" or newest is None:
            continue
        try:
            kind = read_config(newest.snapshot_path)["model_type"]
        except LorepackError:
            continue  # data, adapters and other things that are no model of ours
        if kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
            found[repo.repo_id] = Path(newest.snapshot_path)
    return found
