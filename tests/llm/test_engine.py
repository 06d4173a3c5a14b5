"""The engine gives plain greedy decoding's answers, whatever is shared and refilled."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from lora.made import in_peft, stack_of
from lorepack.errors import InputError
from lorepack.llm import LanguageModel, generate_ids, generate_stream, score
from lorepack.llm.engine import lean, model
from lorepack.llm.engine.model import Model, fits
from lorepack.lora import AdapterSpec
from tiny_models import FAMILIES, tiny

from .conftest import wrap
from .identity import compare

Models = Callable[[str], LanguageModel]
NEW = 18  # past the sliding windows of 16


def woody(seed: int = 0) -> list[list[int]]:
    """47 prompts: two few-shot prefixes of 40 tokens, wordings behind them, and loners."""
    rng = random.Random(seed)
    draw = lambda count: [rng.randrange(33, 256) for _ in range(count)]  # noqa: E731
    prompts = []
    for _ in range(2):
        shots, wordings = draw(40), [draw(rng.randrange(9, 14)) for _ in range(2)]
        prompts += [[*shots, *rng.choice(wordings), *draw(rng.randrange(1, 9))] for _ in range(18)]
        prompts += [shots, [*shots, *wordings[0]]]  # prompts that others begin with
    prompts += [draw(rng.randrange(1, 60)) for _ in range(6)]
    prompts.append(prompts[3])  # asked twice
    rng.shuffle(prompts)
    return prompts


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_is_transformers_greedy(tiny_lm: Models, family: str) -> None:
    """Prefixes longer than the windows, mixed lengths, and, by the small budget, refill."""
    lm, prompts = tiny_lm(family), woody()
    assert fits(lm.model)
    found = generate_ids(lm, prompts, max_new_tokens=NEW)
    assert generate_ids(lm, prompts, max_new_tokens=NEW, batch_tokens=150) == found
    identity = compare(lm.model, lm.tokenizer, prompts, [ids for (ids,) in found], NEW)
    assert identity.holds, identity


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
def test_the_models_own_code_and_the_lean_one_agree(family: str) -> None:
    lm = wrap(tiny(family))
    assert fits(lm.model)
    assert Model(lm.model).lean
    fast = generate_ids(lm, woody(), max_new_tokens=NEW)
    hook = lm.model.model.norm.register_forward_hook(lambda *_: None)
    try:
        assert not Model(lm.model).lean
        assert generate_ids(lm, woody(), max_new_tokens=NEW) == fast
    finally:
        hook.remove()


def spec(lm: LanguageModel, rank: int, *ends: str, **more: Any) -> AdapterSpec:
    names = [n for n, _ in lm.model.named_modules() if n.endswith(ends)]
    return AdapterSpec(rank, 2 * rank, False, tuple(sorted(names)), **more)


def company(lm: LanguageModel) -> list[AdapterSpec]:
    """Adapters of different rank, targets and kind."""
    return [
        spec(lm, 4, "q_proj", "v_proj", "o_proj"),
        spec(lm, 2, "up_proj", "down_proj"),
        spec(lm, 3, "k_proj", "gate_proj", kind="dora"),
        spec(lm, 1, "down_proj"),
    ]


@pytest.mark.parametrize("family", ["llama", "gemma3", "qwen2"])
def test_every_prompt_is_answered_by_its_own_adapter(family: str) -> None:
    """Against PEFT, adapter by adapter; the base's rows are the base's."""
    lm = wrap(tiny(family))
    stack = stack_of(lm.model, company(lm))
    prompts = woody()[:16]
    many = [prompt for prompt in prompts for _ in range(5)]
    adapters: list[int | None] = [None, 0, 1, 2, 3] * len(prompts)
    with stack.attached():
        stack.use(None)
        options: dict[str, Any] = {"max_new_tokens": 6, "stack": stack, "adapters": adapters}
        found = generate_ids(lm, many, **options)
        assert generate_ids(lm, many, batch_tokens=200, **options) == found
    assert not lm.model.model.layers[0].mlp.down_proj._forward_hooks
    mine = {a: [f[0] for f, b in zip(found, adapters, strict=True) if a == b] for a in adapters}
    for adapter, answers in mine.items():
        alone = lm.model if adapter is None else in_peft(lm.model, stack, adapter)
        identity = compare(alone, lm.tokenizer, prompts, answers, 6)
        assert identity.holds, (adapter, identity)
    assert len({str(answers) for answers in mine.values()}) == 5


def test_an_adapter_in_use_acts_on_all_prompts(tiny_lm: Models) -> None:
    lm = wrap(tiny("llama"))
    stack = stack_of(lm.model, company(lm))
    prompts = woody()[:12]
    with stack.attached(), stack.using(2):
        found = generate_ids(lm, prompts, max_new_tokens=8)
    identity = compare(
        in_peft(lm.model, stack, 2), lm.tokenizer, prompts, [ids for (ids,) in found], 8
    )
    assert identity.holds, identity


def test_samples_by_adapters_are_those_of_adapters_alone() -> None:
    lm = wrap(tiny("mistral"))
    stack = stack_of(lm.model, company(lm)[:2])
    prompts = woody()[:10]
    options: dict[str, Any] = {
        "max_new_tokens": 6,
        "temperature": 0.8,
        "samples": 5,
        "greedy": True,
    }
    with stack.attached():
        stack.use(None)
        both = generate_ids(
            lm,
            prompts * 2,
            keys=[*range(10)] * 2,
            stack=stack,
            adapters=[0] * 10 + [1] * 10,
            **options,
        )
        for adapter in (0, 1):
            with stack.using(adapter):
                alone = generate_ids(lm, prompts, **options)
            assert alone == both[10 * adapter : 10 * adapter + 10]


def test_adapters_without_a_stack_are_refused(tiny_lm: Models) -> None:
    with pytest.raises(InputError, match="adapters: 2 for 1"):
        generate_ids(tiny_lm("llama"), [[70]], adapters=[0, 1])


@pytest.mark.parametrize("place", [-1, 1])
def test_an_adapter_that_the_stack_does_not_hold_is_refused(tiny_lm: Models, place: int) -> None:
    lm = tiny_lm("llama")
    stack = stack_of(lm.model, [spec(lm, 1, "down_proj")])
    with pytest.raises(InputError, match=rf"adapters: got {place}; the stack holds 1"):
        generate_ids(lm, [[70], [71]], stack=stack, adapters=[0, place])
    with pytest.raises(InputError, match=rf"adapters: got {place}; the stack holds 1"):
        score(lm, [[70]], [[71]], stack=stack, adapters=[place])


def test_the_attention_is_put_back_even_when_a_pass_fails(tiny_lm: Models) -> None:
    lm = wrap(tiny("gemma2"))
    assert fits(lm.model)
    before = lm.model.config._attn_implementation

    def fail(*_: object) -> None:
        assert lm.model.config._attn_implementation == "lorepack_cascade"
        raise KeyboardInterrupt

    hook = lm.model.model.layers[1].register_forward_hook(fail)
    try:
        with pytest.raises(KeyboardInterrupt):
            generate_ids(lm, woody())
    finally:
        hook.remove()
    assert lm.model.config._attn_implementation == before
    assert not model._current


def test_a_model_whose_attention_is_its_own_keeps_the_padded_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As families that never ask for the attention function."""
    lm = wrap(tiny("olmo2"))
    expected = generate_ids(lm, woody(), max_new_tokens=6)
    other = wrap(tiny("olmo2"))
    monkeypatch.setattr(model, "_NAME", "eager")  # ours is never called
    assert not fits(other.model)
    assert generate_ids(other, woody(), max_new_tokens=6) == expected


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
    ids=["cuda", "cpu"],
)
def test_memory_that_runs_out_halves_and_keeps_what_is_finished(
    tiny_lm: Models, error: RuntimeError
) -> None:
    lm, prompts = tiny_lm("qwen3"), woody()
    expected = generate_ids(lm, prompts, max_new_tokens=6)
    refused: list[int] = []
    passes: list[int] = []
    told: list[int] = []

    def small(_module: object, _args: object, kwargs: dict) -> None:
        passes.append(kwargs["input_ids"].numel())
        if passes[-1] > 90 or (len(told) > 4 and min(refused) > 90):
            refused.append(passes[-1])
            raise error

    hook = lm.model.register_forward_pre_hook(small, with_kwargs=True)
    try:
        found = generate_ids(lm, prompts, max_new_tokens=6, answered=lambda i, _: told.append(i))
    finally:
        hook.remove()
    assert found == expected
    assert refused
    assert sorted(told) == list(range(len(prompts)))  # nothing twice


def test_one_prompt_that_does_not_fit_is_an_error(tiny_lm: Models) -> None:
    lm = tiny_lm("gemma3")

    def none(*_: object) -> None:
        raise torch.OutOfMemoryError

    hook = lm.model.register_forward_pre_hook(none)
    try:
        with pytest.raises(InputError, match="out of memory with one prompt"):
            generate_ids(lm, woody())
    finally:
        hook.remove()


def test_another_runtime_error_is_told_as_it_is(tiny_lm: Models) -> None:
    lm = tiny_lm("gemma3")

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    hook = lm.model.register_forward_pre_hook(broken)
    try:
        with pytest.raises(RuntimeError, match="a bug"):
            generate_ids(lm, woody())
    finally:
        hook.remove()


def test_a_stream_gives_the_answers_of_one_call_and_looks_ahead_by_a_window(
    tiny_lm: Models,
) -> None:
    lm, prompts = tiny_lm("llama"), woody()
    options: dict[str, Any] = {"max_new_tokens": 5, "temperature": 0.9, "samples": 2}
    whole = generate_ids(lm, prompts, **options)
    taken = 0

    def lazily() -> Any:
        nonlocal taken
        for prompt in prompts:
            taken += 1
            yield prompt

    stream = generate_stream(lm, lazily(), window=10, **options)
    first = next(stream)
    assert taken == 10
    found = [first, *stream]
    assert [i for i, _ in found] == list(range(len(prompts)))
    assert [t for _, t in found] == [[lm.chat.decode(ids) for ids in row] for row in whole]
    keyed = generate_stream(lm, prompts, keys=iter(range(len(prompts))), window=7, **options)
    assert list(keyed) == found
    with pytest.raises(InputError, match="keys: 3 for 7"):
        list(generate_stream(lm, prompts, keys=[1, 2, 3], window=7))


def test_a_long_prompt_among_short_ones_does_not_widen_their_rows(tiny_lm: Models) -> None:
    lm = tiny_lm("gpt2")
    prompts = [*woody()[:12], [70 + i % 90 for i in range(230)]]
    found = generate_ids(lm, prompts, max_new_tokens=6)
    identity = compare(lm.model, lm.tokenizer, prompts, [ids for (ids,) in found], 6)
    assert identity.holds, identity


def test_hooks_on_the_head_are_honoured_by_the_lean_way() -> None:
    lm = wrap(tiny("qwen2"))
    assert lean.possible(lm.model)
    hook = lm.model.lm_head.register_forward_hook(lambda _m, _a, out: -out)
    try:
        found = generate_ids(lm, woody()[:6], max_new_tokens=4)
        identity = compare(lm.model, lm.tokenizer, woody()[:6], [ids for (ids,) in found], 4)
    finally:
        hook.remove()
    assert identity.holds, identity


def half(family: str, prompts: Sequence[list[int]]) -> tuple[int, int]:
    """Rows in bf16, and how many of them differ from transformers in bf16."""
    lm = wrap(tiny(family).to(torch.bfloat16))
    assert fits(lm.model)
    found = generate_ids(lm, prompts, max_new_tokens=NEW)
    identity = compare(lm.model, lm.tokenizer, prompts, [ids for (ids,) in found], NEW)
    return identity.rows, identity.ties + len(identity.wrong)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_in_bf16_most_answers_are_the_same(family: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows, differing = half(family, [p for seed in range(4) for p in woody(seed)])
    with capsys.disabled():
        print(f"\n{family}: {differing} of {rows} greedy answers differ in bf16")
    assert differing < 0.5 * rows
