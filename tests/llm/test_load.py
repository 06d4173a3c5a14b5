"""A model loads whole, frozen and explained, or one line says what is wrong with which file."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lorepack.errors import InputError, LorepackError, NotFoundError, NumericError
from lorepack.llm import available, load
from lorepack.llm import weights as weights_module
from lorepack.llm.weights import fingerprint, stored_tensors
from tiny_models import CONTEXT, tiny

from .conftest import STORIES, byte_tokenizer

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
LOAD = sys.modules["lorepack.llm.load"]  # the package shows the function of that name
Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete model folder."""
    folder = tmp_path_factory.mktemp("models") / "whole"
    tiny("llama").save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """A complete model folder that a test may harm."""
    return Path(shutil.copytree(whole, tmp_path / "model"))


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """The same model in several weight files."""
    folder = tmp_path / "shards"
    tiny("llama").save_pretrained(folder, max_shard_size="40KB")
    byte_tokenizer().save_pretrained(folder)
    assert len(list(folder.glob("*.safetensors"))) >= 3
    return folder


def test_a_loaded_model_is_frozen_in_eval_mode_and_says_why(whole: Path) -> None:
    lm = load(whole, device="cpu")
    assert lm.path == whole
    assert lm.name == str(whole)
    assert not lm.model.training
    assert not any(p.requires_grad for p in lm.model.parameters())
    assert (lm.device.type, lm.dtype, lm.context) == ("cpu", torch.float32, CONTEXT)
    assert lm.notes == ("cpu: as asked", "float32: exact and fast on CPU")
    assert lm.chat.stop_ids == (2,)
    ids = torch.tensor([[70, 80, 90]])
    assert torch.equal(lm.model(ids).logits, tiny("llama")(ids).logits)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_without_cuda_auto_is_the_cpu_and_cuda_is_an_error(whole: Path) -> None:
    assert load(whole).notes[0] == "cpu: no CUDA device found"
    with pytest.raises(InputError, match="'cuda': not there; this machine has 0 CUDA devices"):
        load(whole, device="cuda")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_dtype_is_taken_as_asked(whole: Path, dtype: str) -> None:
    lm = load(whole, dtype=dtype)
    assert {p.dtype for p in lm.model.parameters()} == {lm.dtype} == {getattr(torch, dtype)}
    assert lm.notes[1] == f"{dtype}: as asked"


def test_a_model_beyond_the_memory_gets_bfloat16_or_is_refused(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = sum(tensor.size for tensor in stored_tensors(whole).values())
    monkeypatch.setattr(LOAD, "_memory", lambda _device: weights * 3 / 0.8)
    lm = load(whole, device="cpu")
    assert lm.dtype == torch.bfloat16
    assert lm.notes[1].startswith("bfloat16: float32 needs")
    monkeypatch.setattr(LOAD, "_memory", lambda _device: weights)
    with pytest.raises(InputError, match=r"the weights need .* as bfloat16; cpu offers"):
        load(whole, device="cpu")


def test_sharded_weights_load_alike_and_have_the_same_fingerprint(
    whole: Path, shards: Path
) -> None:
    one, many = load(whole), load(shards)
    for name, weight in one.model.state_dict().items():
        assert torch.equal(weight, many.model.state_dict()[name])
    assert one.fingerprint == many.fingerprint


def test_a_fingerprint_tells_weights_and_config_apart_and_not_folders(
    copy: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hashed(folder: Path) -> str:
        config = json.loads((folder / "config.json").read_text())
        return fingerprint(stored_tensors(folder), config)

    assert hashed(copy) == hashed(whole)
    config = json.loads((copy / "config.json").read_text())
    config["transformers_version"] = "0.0"
    (copy / "config.json").write_text(json.dumps(config))
    assert hashed(copy) == hashed(whole)
    config["rms_norm_eps"] = 1e-3
    (copy / "config.json").write_text(json.dumps(config))
    assert hashed(copy) != hashed(whole)
    shutil.copy(whole / "config.json", copy)
    tensors = load_file(copy / WEIGHTS)
    tensors["model.norm.weight"][3] += 1e-3
    save_file(tensors, copy / WEIGHTS)
    assert hashed(copy) != hashed(whole)
    monkeypatch.setattr(weights_module, "_WHOLE", 0)  # as for a model of many gigabytes
    monkeypatch.setattr(weights_module, "_BLOCKS", 2)
    monkeypatch.setattr(weights_module, "_BLOCK", 64)
    assert hashed(copy) == hashed(copy) != hashed(whole)


def cut(name: str, keep: float = 0.5) -> Change:
    def change(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * keep)])

    return change


def tensors_changed(change: Callable[[dict[str, torch.Tensor]], object]) -> Change:
    def apply(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})

    return apply


def config_changed(**values: object) -> Change:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text()) | values
        kept = {key: value for key, value in config.items() if value is not None}
        (folder / "config.json").write_text(json.dumps(kept))

    return change


def only_pickle(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")


def without_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


def as_adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def spoil(value: float) -> Change:
    return tensors_changed(
        lambda t: t["model.layers.1.mlp.up_proj.weight"].view(-1)[7].fill_(value)
    )


FAULTS: dict[str, tuple[Change, type[LorepackError], str]] = {
    "an empty folder": (emptied, NotFoundError, "config.json: missing; the folder is empty"),
    "an adapter": (as_adapter, InputError, "an adapter, not a model"),
    "a broken config": (cut("config.json"), InputError, "config.json: not valid JSON"),
    "no architecture": (config_changed(model_type=None), InputError, "config.json: no model_type"),
    "an unknown one": (config_changed(model_type="frob"), InputError, "frob"),
    "not a language model": (config_changed(model_type="vit"), InputError, "cannot load it as a"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), NotFoundError, "no weights; expected model"),
    "only a pickle": (only_pickle, InputError, "pytorch_model.bin, a pickle .* convert once"),
    "a truncated file": (cut(WEIGHTS), InputError, "model.safetensors: truncated"),
    "a header cut off": (cut(WEIGHTS, 1e-3), InputError, "model.safetensors: truncated"),
    "an empty file": (cut(WEIGHTS, 0), InputError, "model.safetensors: truncated"),
    "another file": (
        lambda f: (f / WEIGHTS).write_bytes(b"\x08" + b"\0" * 7 + b"no json!" * 3),
        InputError,
        "model.safetensors: not a safetensors file",
    ),
    "NaN": (spoil(float("nan")), NumericError, "model.safetensors: tensor model.layers.1.mlp.up_"),
    "infinity": (spoil(float("-inf")), NumericError, "holds NaN or infinity \\(1 values\\)"),
    "a tensor missing": (
        tensors_changed(lambda t: t.pop("model.layers.0.self_attn.q_proj.weight")),
        InputError,
        "1 tensors are missing, the first model.layers.0.self_attn.q_proj.weight",
    ),
    "another shape": (
        config_changed(intermediate_size=40),
        InputError,
        r"mlp.down_proj.weight is \[32, 48\] in the weights and \[32, 40\] by config.json \(6",
    ),
    "no tokenizer": (without_tokenizer, NotFoundError, "no tokenizer; expected tokenizer.json"),
    "a broken tokenizer": (cut("tokenizer.json"), InputError, "the tokenizer cannot be loaded"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_that_names_the_file(copy: Path, fault: str) -> None:
    harm, kind, told = FAULTS[fault]
    harm(copy)
    with pytest.raises(kind, match=told) as caught:
        load(copy, device="cpu")
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_shard_is_named(shards: Path) -> None:
    lost = sorted(shards.glob("model-*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(NotFoundError, match=f"{lost.name}: missing, though {INDEX} names it"):
        load(shards)


def test_a_truncated_shard_is_named(shards: Path) -> None:
    name = sorted(file.name for file in shards.glob("model-*.safetensors"))[-1]
    cut(name, 0.9)(shards)
    with pytest.raises(InputError, match=f"{name}: truncated or damaged; expected .* bytes"):
        load(shards)


def test_a_tensor_that_no_shard_holds_is_named(shards: Path) -> None:
    index = json.loads((shards / INDEX).read_text())
    index["weight_map"]["model.extra.weight"] = sorted(index["weight_map"].values())[0]
    (shards / INDEX).write_text(json.dumps(index))
    with pytest.raises(InputError, match=r"tensor model\.extra\.weight is not in it"):
        load(shards)


def test_a_tokenizer_of_another_model_is_told(copy: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["more", "words"])
    tokenizer.save_pretrained(copy)
    with pytest.raises(InputError, match="the tokenizer has 258 tokens, the model embeds 256"):
        load(copy)


@pytest.mark.parametrize(
    ("options", "told"),
    [({"device": "gpu"}, "device 'gpu': unknown"), ({"dtype": "int3"}, "dtype 'int3': unknown")],
)
def test_a_wrong_option_is_named(whole: Path, options: dict[str, str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        load(whole, **options)  # type: ignore[arg-type]


def test_a_name_that_is_nothing_says_what_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(NotFoundError, match=r"not embedded .* no folder .* not in the local hub"):
        load("nobody/nothing")
    with pytest.raises(NotFoundError, match="did you mean world"):
        load("wrld")
    with pytest.raises(NotFoundError, match="and not a hub id"):
        load("what is this?")
    with pytest.raises(NotFoundError, match="no such model folder"):
        load(tmp_path / "missing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="a file; expected a model folder"):
        load(tmp_path / "file")


def test_world_is_reserved_and_a_folder_of_that_name_is_dot_world(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copy.parent)
    copy.rename(copy.parent / "world")
    monkeypatch.setattr("lorepack.world.shipped.MODELS", copy.parent / "not installed")
    for folder in ("./world", Path("world")):
        assert load(folder).path == (copy.parent / "world").resolve()
    with pytest.raises(NotFoundError, match="the shipped model world is missing"):
        load("world")


def test_a_real_model_loads() -> None:
    if not STORIES.is_dir():
        pytest.skip(f"needs the model folder {STORIES.name} in shared/data/models")
    lm = load(STORIES, device="cpu")
    assert lm.context == 512
    assert not lm.chat.has_template
    assert sum(p.numel() for p in lm.model.parameters()) == 260_032


def test_what_is_available_is_named_with_what_it_needs(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "models--someone--tiny" / "snapshots" / ("0" * 40)
    shutil.copytree(whole, snapshot)
    (tmp_path / "models--someone--data" / "snapshots" / ("1" * 40)).mkdir(parents=True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.utils._cache_manager.HF_HUB_CACHE", str(tmp_path))
    found = {model.name: model for model in available()}
    assert list(found)[:2] == ["world", "world-base"]
    cached = found["someone/tiny"]
    assert (cached.origin, cached.architecture, cached.problem) == ("hub cache", "llama", "")
    assert cached.parameters == sum(p.numel() for p in tiny("llama").parameters())
    assert cached.memory["float32"] == 2 * cached.memory["bfloat16"] > 4 * cached.parameters
    assert set(found) == {"world", "world-base", "someone/tiny"}
