"""Adapters cross between our files and PEFT's with the same logits; broken ones are refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lora.made import stack_of, tokens
from lorepack import lora
from lorepack.errors import InputError, LorepackError, MismatchError, NotFoundError, NumericError
from lorepack.lora import AdapterSpec, Stack
from lorepack.lora.adapter_files import CONFIG, ORIGIN, WEIGHTS
from tiny_models import FAMILIES, tiny

HEAD = "base_model.model.lm_head"
PROVENANCE = {"base": {"name": "tiny", "fingerprint": "a" * 64}, "seed": 1}


def save(folder: Path, model: nn.Module, stack: Stack, **options: Any) -> None:
    spec, factors = stack.plain(0)
    lora.save(
        folder,
        spec,
        factors,
        base_name="tiny",
        provenance=options.pop("provenance", PROVENANCE),
        fan_in_fan_out=lora.is_transposed(model, spec.targets),
    )


def greedy(model: Any, ids: Tensor) -> Tensor:
    """Twelve greedy tokens after ``ids``."""
    made: Tensor = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False
    )
    return made


def ours(folder: Path, model: Any, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and greedy answers through a stack, from disk."""
    loaded = lora.load(folder, model)
    stack = Stack(model, [loaded.spec], [0])
    stack.load_factors(0, loaded.factors)
    with stack.attached(), stack.using(0), torch.no_grad():
        return model(input_ids=ids).logits, greedy(model, ids)


def theirs(folder: Path, model: Any, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and greedy answers through plain PEFT, from disk."""
    peft = PeftModel.from_pretrained(copy.deepcopy(model), str(folder)).eval()
    with torch.no_grad():
        return peft(input_ids=ids).logits, greedy(peft, ids)


@pytest.mark.parametrize("rslora", [False, True], ids=["lora", "rslora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_plain_peft_loads_our_folder_with_equal_logits_and_answers(
    family: str, rslora: bool, tmp_path: Path
) -> None:
    model, ids = tiny(family), tokens(2, 10)
    roles = ("mlp",) if rslora else ("all-linear",)
    spec = AdapterSpec.for_model(model, rank=4, alpha=8, rslora=rslora, roles=roles)
    stack = stack_of(model, [spec])
    with stack.attached(), stack.using(0), torch.no_grad():
        unsaved = model(input_ids=ids).logits
    save(tmp_path, model, stack)
    (logits, answer), (want, peft_answer) = ours(tmp_path, model, ids), theirs(tmp_path, model, ids)
    assert (logits - want).abs().max() <= 1e-5
    assert torch.equal(answer, peft_answer)
    assert torch.equal(logits, unsaved)
    assert (logits - model(input_ids=ids).logits).abs().max() > 1e-2


KINDS: dict[str, dict[str, Any]] = {
    "dora": {"kind": "dora", "rslora": True},
    "pissa": {"init": "pissa"},
    "pissa-rslora": {"init": "pissa", "rslora": True, "roles": "mlp"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_plain_peft_loads_every_kind_with_equal_logits_and_answers(
    family: str, kind: str, tmp_path: Path
) -> None:
    model, ids = tiny(family), tokens(2, 10)
    values: dict[str, Any] = {"rank": 4, "alpha": 8, "roles": "all-linear", **KINDS[kind]}
    stack = stack_of(model, [AdapterSpec.for_model(model, **values)])
    with stack.attached(), stack.using(0), torch.no_grad():
        unsaved = model(input_ids=ids).logits
    save(tmp_path, model, stack)
    config = json.loads((tmp_path / CONFIG).read_text())
    assert (config["use_dora"], config["init_lora_weights"]) == (kind == "dora", True)
    assert config["r"] == (4 if kind == "dora" else 8)
    (logits, answer), (want, peft_answer) = ours(tmp_path, model, ids), theirs(tmp_path, model, ids)
    near = 1e-5 * max(1.0, float(want.abs().max()))
    assert (logits - want).abs().max() <= near
    assert (logits - unsaved).abs().max() <= near
    assert torch.equal(answer, peft_answer)
    assert (logits - model(input_ids=ids).logits).abs().max() > 1e-2


@pytest.mark.parametrize("tied", [False, True], ids=["own weight", "tied"])
def test_an_adapter_on_the_head_leaves_a_shared_embedding_alone(tied: bool, tmp_path: Path) -> None:
    model, ids = tiny("llama"), tokens(2, 10)
    if tied:
        model.config.tie_word_embeddings = True
        model.tie_weights()
        assert model.lm_head.weight is model.model.embed_tokens.weight
    for kind in ("lora", "dora"):
        spec = AdapterSpec.for_model(
            model, rank=4, alpha=8, roles=("lm_head", "down_proj"), kind=kind
        )
        stack = stack_of(model, [spec])
        assert lora.verify_applied(stack, 0, model, ids) <= 1e-4
        with stack.attached(), stack.using(0), torch.no_grad():
            seen = model(input_ids=ids, output_hidden_states=True)
        embedded = model.get_input_embeddings()(ids)
        assert torch.equal(seen.hidden_states[0], embedded), "the embedding is not adapted"
        save(tmp_path / kind, model, stack)
        logits, want = ours(tmp_path / kind, model, ids)[0], theirs(tmp_path / kind, model, ids)[0]
        assert (logits - want).abs().max() <= 1e-5
        assert torch.equal(logits, seen.logits)


def test_a_layer_range_and_own_ranks_reach_peft(tmp_path: Path) -> None:
    model, ids = tiny("qwen2"), tokens(2, 10)
    targets = lora.resolve(model, ("down_proj", "q_proj"), (1, 1))
    spec = AdapterSpec(3, 6, True, tuple(targets), ranks={targets[0]: 7}, alphas={targets[0]: 2.5})
    save(tmp_path, model, stack_of(model, [spec]))
    peft = PeftModel.from_pretrained(copy.deepcopy(model), str(tmp_path))
    adapted = {n for n, m in peft.base_model.model.named_modules() if hasattr(m, "lora_A")}
    assert adapted == set(targets)
    assert (ours(tmp_path, model, ids)[0] - theirs(tmp_path, model, ids)[0]).abs().max() <= 1e-5


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("llama", {"target_modules": "all-linear"}),
        ("gpt2", {"target_modules": "all-linear", "use_rslora": True}),
        ("gemma2", {"target_modules": ["q_proj", "down_proj"], "layers_to_transform": [1]}),
        ("qwen3", {"target_modules": "all-linear", "use_dora": True}),
        ("gpt2", {"target_modules": ["c_fc", "c_proj"], "use_dora": True, "use_rslora": True}),
        ("llama", {"target_modules": ["lm_head", "up_proj"]}),
        (
            "mistral",
            {"target_modules": ["up_proj"], "layers_to_transform": 0, "layers_pattern": "layers"},
        ),
        ("phi3", {"target_modules": r".*\.1\.(self_attn\.qkv_proj|mlp\.down_proj)"}),
        (
            "olmo2",
            {
                "target_modules": ["q_proj", "v_proj", "down_proj"],
                "rank_pattern": {"down_proj": 5, r"layers\.1\.self_attn\.q_proj": 2},
                "alpha_pattern": {"v_proj": 3, "0.mlp.down_proj": 11},
                "use_rslora": True,
            },
        ),
    ],
)
def test_an_adapter_saved_by_peft_gives_its_logits_in_ours(
    family: str, options: dict[str, Any], tmp_path: Path
) -> None:
    model, ids = tiny(family), tokens(2, 10)
    config = LoraConfig(r=4, lora_alpha=6, init_lora_weights=False, lora_dropout=0.1, **options)
    torch.manual_seed(3)
    get_peft_model(copy.deepcopy(model), config).save_pretrained(tmp_path)
    (logits, answer), (want, peft_answer) = ours(tmp_path, model, ids), theirs(tmp_path, model, ids)
    assert (logits - want).abs().max() <= 1e-5
    assert torch.equal(answer, peft_answer)
    warnings = lora.load(tmp_path, model).warnings
    assert len(warnings) == 1
    assert "no lorepack.json" in warnings[0]


def test_equal_adapters_give_equal_bytes_and_round_trip(tmp_path: Path) -> None:
    model = tiny("llama")
    targets = lora.resolve(model, "all-linear")
    for order in (targets, targets[::-1]):
        spec = AdapterSpec(4, 2.5, True, tuple(order), 0.1, ranks={targets[0]: 2})
        save(tmp_path / str(order is targets), model, stack_of(model, [spec]))
    for name in (CONFIG, WEIGHTS, ORIGIN):
        one, two = (tmp_path / str(kind) / name for kind in (True, False))
        assert one.read_bytes() == two.read_bytes()
    loaded = lora.load(tmp_path / "True", model, fingerprint="a" * 64)
    assert loaded.spec == spec
    assert loaded.warnings == ()
    assert loaded.provenance == {"schema": 1, **PROVENANCE}
    for name, (lora_A, lora_B) in stack_of(model, [spec]).factors(0).items():
        assert torch.equal(loaded.factors[name][0], lora_A)
        assert torch.equal(loaded.factors[name][1], lora_B)
    config = json.loads((tmp_path / "True" / CONFIG).read_text())
    assert config["target_modules"] == sorted(targets)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = tiny("llama")
    save(tmp_path, model, stack_of(model, [AdapterSpec.for_model(model, rank=4, alpha=8)]))
    return tmp_path


def test_another_bases_adapter_is_refused(saved: Path) -> None:
    with pytest.raises(MismatchError, match="made for base tiny"):
        lora.load(saved, tiny("llama"), fingerprint="b" * 64)
    with pytest.raises(MismatchError, match="GPT2LMHeadModel"):
        lora.load(saved, tiny("gpt2"))
    (saved / ORIGIN).write_text("{}")
    assert "names no base" in lora.load(saved, tiny("llama"), fingerprint="b" * 64).warnings[0]


def edit_config(**changes: Any) -> Any:
    def edit(folder: Path) -> None:
        config = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps({**config, **changes}))

    return edit


def edit_tensor(change: Any) -> Any:
    def edit(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        tensors = {key: tensor.clone() for key, tensor in tensors.items()}
        change(tensors, min(tensors))
        save_file(tensors, folder / WEIGHTS)

    return edit


def truncate(folder: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])


def pickled(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")


@pytest.mark.parametrize(
    ("harm", "error", "message"),
    [
        (truncate, InputError, "not a whole safetensors file"),
        (pickled, InputError, "pickle"),
        (lambda f: (f / WEIGHTS).unlink(), NotFoundError, "no adapter_model.safetensors"),
        (lambda f: (f / CONFIG).unlink(), NotFoundError, "no adapter_config.json"),
        (lambda f: (f / CONFIG).write_text("{"), InputError, "not valid JSON"),
        (lambda f: (f / CONFIG).write_text("[]"), InputError, "expected a JSON object"),
        (edit_config(use_dora=True), InputError, "has only lora_A.weight, lora_B.weight"),
        (
            edit_tensor(lambda t, k: t.update({f"{k[:-13]}lora_magnitude_vector": t[k][0] + 0})),
            InputError,
            "magnitudes need use_dora",
        ),
        (
            edit_tensor(lambda t, k: t.update({f"{HEAD}.weight": torch.zeros(256, 32)})),
            MismatchError,
            "lm_head.weight differs from the base's own weight",
        ),
        (edit_config(modules_to_save=["lm_head"]), InputError, "modules_to_save"),
        (edit_config(bias="all"), InputError, "bias='all'"),
        (edit_config(peft_type="IA3"), InputError, "expected 'LORA'"),
        (edit_config(init_lora_weights="pissa_niter_4"), InputError, "changed weights"),
        (edit_config(trainable_token_indices=[1]), InputError, "token embeddings"),
        (edit_config(r=5), InputError, "rank 4, but adapter_config.json says 5"),
        (edit_config(lora_alpha="many"), InputError, "lora_alpha='many'"),
        (
            edit_tensor(lambda t, k: t[k].view(-1).__setitem__(0, float("nan"))),
            NumericError,
            "holds NaN",
        ),
        (
            edit_tensor(lambda t, k: t[k].view(-1).__setitem__(0, float("inf"))),
            NumericError,
            "holds NaN or infinity",
        ),
        (edit_tensor(lambda t, k: t.update({k: t[k].int()})), InputError, "floating point"),
        (
            edit_tensor(lambda t, k: t.update({k: t[k][:, :-1].clone()})),
            MismatchError,
            "expected (r, ",
        ),
        (edit_tensor(lambda t, k: t.pop(k)), InputError, "has only lora_B"),
        (edit_tensor(lambda t, k: t.update(more=t[k].clone())), InputError, "unknown tensor more"),
        (edit_tensor(lambda t, k: t.clear()), InputError, "holds no factors"),
    ],
)
def test_a_broken_adapter_is_one_clear_error(
    saved: Path, harm: Any, error: type[LorepackError], message: str
) -> None:
    harm(saved)
    with pytest.raises(error) as caught:
        lora.load(saved, tiny("llama"))
    assert message in str(caught.value)
    assert str(saved) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_folder_and_absent_modules(saved: Path) -> None:
    with pytest.raises(NotFoundError, match="no such adapter folder"):
        lora.load(saved / "nowhere", tiny("llama"))
    edit_tensor(lambda t, k: [t.pop(name) for name in sorted(t)[:2]])(saved)
    assert (
        "1 modules that adapter_config.json selects" in lora.load(saved, tiny("llama")).warnings[0]
    )


def test_nan_is_never_written(saved: Path) -> None:
    model = tiny("llama")
    stack = stack_of(model, [AdapterSpec.for_model(model, rank=4, alpha=8)])
    before = (saved / WEIGHTS).read_bytes()
    next(iter(stack.A.values())).data[0, 0, 0] = float("nan")
    with pytest.raises(NumericError, match="NaN"):
        save(saved, model, stack)
    assert (saved / WEIGHTS).read_bytes() == before
