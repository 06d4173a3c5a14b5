"""Greedy answers are transformers' answers; samples follow the softmax and no batch."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import Lfm2Config, Lfm2ForCausalLM

from lorepack.errors import InputError, NumericError
from lorepack.llm import LanguageModel, generate, generate_ids, load, overlong_indices
from lorepack.llm.chat import Ends
from lorepack.llm.decode import Engine
from tiny_models import FAMILIES

from .conftest import NEWLINE, scripted, wrap

Models = Callable[[str], LanguageModel]


def some_prompts(count: int, seed: int = 0, shared: int = 0, longest: int = 40) -> list[list[int]]:
    """Random prompts of different lengths behind ``shared`` common tokens."""
    rng = random.Random(seed)
    opening = [rng.randrange(33, 256) for _ in range(shared)]
    lengths = [rng.randrange(1, longest) for _ in range(count)]
    return [opening + [rng.randrange(33, 256) for _ in range(length)] for length in lengths]


def reference(lm: LanguageModel, prompt: list[int], tokens: int, until: str = "line") -> list[int]:
    """The unpadded greedy answer of transformers, up to the stop or the end of the line."""
    whole = lm.model.generate(
        torch.tensor([prompt]), max_new_tokens=tokens, do_sample=False, eos_token_id=[2]
    )
    answer: list[int] = []
    for token in whole[0, len(prompt) :].tolist():
        if token == 2:
            break
        answer.append(token)
        if until == "line" and token == NEWLINE and lm.tokenizer.decode(answer).strip():
            break
    return answer


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("shared", [0, 30])
def test_greedy_equals_transformers_row_by_row(tiny_lm: Models, family: str, shared: int) -> None:
    lm = tiny_lm(family)
    prompts = some_prompts(10, shared=shared)
    found = generate_ids(lm, prompts, max_new_tokens=18)  # past the sliding windows of 16
    assert [ids for (ids,) in found] == [reference(lm, p, 18) for p in prompts]


def test_greedy_equals_transformers_on_a_real_model(stories: LanguageModel) -> None:
    texts = ["Once upon a time", "Lily and Tom went", "The dog was", "One day, a big red bird"]
    turns = "Lily likes cake. " * 8
    prompts = [stories.chat.text_ids(turns + text) for text in texts]
    found = generate_ids(stories, prompts, max_new_tokens=32)
    for prompt, (ids,) in zip(prompts, found, strict=True):
        whole = stories.model.generate(torch.tensor([prompt]), max_new_tokens=32, do_sample=False)
        answer = whole[0, len(prompt) :].tolist()
        assert ids == answer[: len(ids)]
        assert len(ids) == 32 or "\n" in stories.tokenizer.decode(answer[len(ids) - 1 :])


def test_a_model_with_recurrent_states_answers_as_transformers() -> None:
    torch.manual_seed(0)
    kinds = ["conv", "full_attention"]
    model = Lfm2ForCausalLM(
        Lfm2Config(
            vocab_size=256,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            layer_types=kinds,
            initializer_range=0.3,
        )
    ).eval()
    model.generation_config.eos_token_id = None
    lm = wrap(model)
    prompts = some_prompts(10, shared=20, longest=6)
    assert not Engine(model, lm.chat.line_ends).plain
    found = generate_ids(lm, prompts, max_new_tokens=12, batch_tokens=128)
    assert [ids for (ids,) in found] == [reference(lm, p, 12) for p in prompts]
    wide = generate_ids(lm, prompts, max_new_tokens=6, temperature=1.0, samples=3, greedy=True)
    alone = [
        generate_ids(lm, [p], max_new_tokens=6, temperature=1.0, samples=3, greedy=True, keys=[i])
        for i, p in enumerate(prompts)
    ]
    assert wide == [one[0] for one in alone]


def test_greedy_answers_do_not_depend_on_the_budget(tiny_lm: Models) -> None:
    lm = tiny_lm("llama")
    prompts = some_prompts(20, seed=3, shared=25)
    whole = generate_ids(lm, prompts, max_new_tokens=16)
    assert whole == generate_ids(lm, prompts, max_new_tokens=16, batch_tokens=200)
    assert whole == [generate_ids(lm, [p], max_new_tokens=16)[0] for p in prompts]


def test_samples_depend_on_their_key_and_not_on_their_batch(tiny_lm: Models) -> None:
    lm = tiny_lm("qwen3")
    prompts = some_prompts(30, seed=4, shared=20)
    keys = [f"fact-{i}" for i in range(30)]
    options = {"max_new_tokens": 8, "temperature": 0.7, "top_k": 20, "samples": 6, "seed": 5}
    together = generate_ids(lm, prompts, keys=keys, **options)  # type: ignore[arg-type]
    turned = generate_ids(
        lm,
        prompts[::-1],
        keys=keys[::-1],
        batch_tokens=300,
        **options,  # type: ignore[arg-type]
    )
    assert together == turned[::-1]
    other_key = generate_ids(lm, prompts[:1], keys=["another"], **options)  # type: ignore[arg-type]
    assert other_key[0] != together[0]
    assert len({tuple(ids) for ids in together[0]}) > 1


def test_the_first_samples_stay_when_more_are_asked(tiny_lm: Models) -> None:
    lm = tiny_lm("olmo2")
    prompts = some_prompts(8, seed=6)
    few = generate_ids(lm, prompts, temperature=1.0, samples=3, max_new_tokens=6)
    more = generate_ids(lm, prompts, temperature=1.0, samples=9, max_new_tokens=6)
    assert few == [answers[:3] for answers in more]


def test_greedy_and_samples_from_one_prefill_equal_two_calls(tiny_lm: Models) -> None:
    lm = tiny_lm("gemma3")
    prompts = some_prompts(12, seed=7, shared=18)
    both = generate_ids(lm, prompts, temperature=0.8, samples=4, greedy=True, max_new_tokens=10)
    assert [a[:1] for a in both] == generate_ids(lm, prompts, max_new_tokens=10)
    sampled = generate_ids(lm, prompts, temperature=0.8, samples=4, max_new_tokens=10)
    assert [a[1:] for a in both] == sampled


def test_a_sampled_sequence_follows_the_models_own_probabilities(tiny_lm: Models) -> None:
    """Two steps of 4,000 samples against the products of exact softmax probabilities."""
    lm, prompt, temperature, top_k = tiny_lm("llama"), [70, 80, 90], 0.9, 4
    count = 4000
    (answers,) = generate_ids(
        lm, [prompt], max_new_tokens=2, temperature=temperature, top_k=top_k, samples=count
    )
    seen = Counter(tuple(ids) for ids in answers)

    def law(ids: list[int]) -> dict[int, float]:
        logits = lm.model(torch.tensor([ids])).logits[0, -1].double()
        kept = logits.topk(top_k)
        share = torch.softmax(kept.values / temperature, -1)
        return dict(zip(kept.indices.tolist(), share.tolist(), strict=True))

    expected = {
        (a, b): pa * pb for a, pa in law(prompt).items() for b, pb in law([*prompt, a]).items()
    }
    assert set(seen) <= set(expected)
    chi2 = sum((seen[pair] - count * p) ** 2 / (count * p) for pair, p in expected.items())
    assert chi2 < 45  # 15 degrees of freedom: exceeded once in 10,000 seeds


def test_an_answer_ends_with_its_line(tiny_lm: Models) -> None:
    """A model that writes blank lines, a word and a newline: the word is the answer."""
    lm = tiny_lm("llama")
    script = [*b"\n \nhi you\nnever"]
    prompt = [60, 61, 62]
    with scripted(lm, prompt, script):
        assert generate(lm, [prompt]) == [["hi you"]]
        assert generate_ids(lm, [prompt]) == [[[*b"\n \nhi you\n"]]]
        assert generate(lm, [prompt], max_new_tokens=5) == [["hi"]]
        script[7] = 2  # EOS in the middle
        assert generate(lm, [prompt]) == [["hi y"]]
        assert generate_ids(lm, [prompt]) == [[[*b"\n \nhi y"]]]


def test_a_turn_keeps_its_lines_and_ends_at_a_stop_id_alone(tiny_lm: Models) -> None:
    lm = tiny_lm("llama")
    prompt = [60, 61, 62]
    with scripted(lm, prompt, [*b"\n{\n\n 1}\nyes", 2, *b"never"]):
        assert generate(lm, [prompt], until="turn") == [["{\n\n 1}\nyes"]]
        assert generate_ids(lm, [prompt], until="turn") == [[[*b"\n{\n\n 1}\nyes"]]]
        assert generate(lm, [prompt]) == [["{"]]


def test_a_turn_that_was_cut_off_is_as_long_as_it_may_be_and_one_that_ended_is_shorter(
    tiny_lm: Models,
) -> None:
    lm = tiny_lm("llama")
    prompt = [60, 61, 62]
    with scripted(lm, prompt, [*b"a\nb", 2, *b"never"]):
        lengths = [
            len(generate_ids(lm, [prompt], until="turn", max_new_tokens=most)[0][0])
            for most in (2, 3, 4, 5)
        ]
    assert lengths == [2, 3, 3, 3]  # of 3, "a\nb" is cut off; of 4, it has ended


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_turns_equal_transformers_row_by_row(tiny_lm: Models, family: str) -> None:
    lm = tiny_lm(family)
    prompts = some_prompts(10, seed=3, shared=20)
    found = generate_ids(lm, prompts, max_new_tokens=40, until="turn")
    assert [ids for (ids,) in found] == [reference(lm, p, 40, "turn") for p in prompts]
    assert any(NEWLINE in ids[:-1] for (ids,) in found)


def test_a_greedy_turn_of_a_real_model_goes_on_behind_its_newlines(stories: LanguageModel) -> None:
    prompt = stories.chat.text_ids("Once upon a time, there was a little dog.")
    options = {"max_new_tokens": 150, "until": "turn"}
    ((ids,),) = generate_ids(stories, [prompt], **options)  # type: ignore[arg-type]
    whole = stories.model.generate(torch.tensor([prompt]), max_new_tokens=150, do_sample=False)
    answer = whole[0, len(prompt) :].tolist()
    assert ids == [i for i in answer if i not in stories.chat.stop_ids]
    ((text,),) = generate(stories, [prompt], **options)  # type: ignore[arg-type]
    assert text == stories.tokenizer.decode(answer, skip_special_tokens=True).strip()
    assert "\n" in text


def test_an_id_beyond_the_tokenizer_is_kept_though_the_last_id_is_a_stop() -> None:
    """Padded vocabularies: the model can say ids that the tokenizer does not have."""
    ends = Ends(8, [7])
    assert ends.is_stop(np.array([6, 7, 8, 900])).tolist() == [False, True, False, False]


def test_answers_are_told_as_soon_as_their_batch_is_done(tiny_lm: Models) -> None:
    lm = tiny_lm("llama")
    prompts = some_prompts(9)
    told: dict[int, list[list[int]]] = {}
    batches: list[int] = []
    found = generate_ids(
        lm,
        prompts,
        batch_tokens=100,
        max_new_tokens=4,
        answered=lambda i, answers: told.update({i: answers}),
        progress=lambda done, total: batches.append(len(told)),
    )
    assert [told[i] for i in range(9)] == found
    assert batches[0] < 9
    assert batches[-1] == 9


def test_hooks_on_linear_modules_are_honoured(tiny_lm: Models) -> None:
    """A low-rank change by hooks gives the answers of the merged weights."""
    lm = tiny_lm("llama")
    prompts = some_prompts(10, seed=8, shared=20)
    module = lm.model.model.layers[1].mlp.down_proj
    draw = torch.Generator().manual_seed(1)
    down, up = (torch.randn(shape, generator=draw) for shape in ((48, 2), (2, 32)))
    hook = module.register_forward_hook(lambda _m, args, out: out + args[0] @ down @ up)
    try:
        hooked = generate_ids(lm, prompts, max_new_tokens=8)
    finally:
        hook.remove()
    plain = generate_ids(lm, prompts, max_new_tokens=8)
    before = module.weight.data.clone()
    module.weight.data += (down @ up).T
    try:
        merged = [reference(lm, p, 8) for p in prompts]
    finally:
        module.weight.data = before
    assert [ids for (ids,) in hooked] == merged
    assert hooked != plain


def test_overlong_prompts_are_named_or_counted(tiny_lm: Models) -> None:
    lm = tiny_lm("gpt2")
    prompts = [[70] * 10, [71] * 250, [72] * 224]
    assert overlong_indices(lm, prompts) == [1]
    with pytest.raises(InputError, match="prompt 1: 250 tokens and 32"):
        generate(lm, prompts)
    found = generate(lm, prompts, overlong="skip", samples=2)
    assert found[1] == ["", ""]
    assert found[0] == generate(lm, prompts[:1], samples=2)[0]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens: got 0"),
        ({"temperature": -1.0}, "temperature: got -1"),
        ({"temperature": float("nan")}, "temperature: got nan"),
        ({"samples": 0}, "samples: got 0"),
        ({"top_k": -1}, "top_k: got -1"),
        ({"keys": ["a"]}, "keys: 1 for 2 prompts"),
        ({"overlong": "cut"}, "overlong: got 'cut'"),
        ({"until": "word"}, "until: got 'word'"),
    ],
)
def test_a_wrong_value_is_named(tiny_lm: Models, options: dict, told: str) -> None:
    with pytest.raises(InputError, match=told):
        generate(tiny_lm("llama"), [[70], [71]], **options)


def test_no_prompts_no_answers_and_an_empty_prompt_is_named(tiny_lm: Models) -> None:
    assert generate(tiny_lm("llama"), []) == []
    with pytest.raises(InputError, match="prompt 1: no tokens"):
        generate(tiny_lm("llama"), [[70], []])


def test_nan_logits_stop_with_a_name(tiny_lm: Models) -> None:
    lm = tiny_lm("phi3")
    hook = lm.model.lm_head.register_forward_hook(lambda _m, _a, out: out * float("nan"))
    try:
        with pytest.raises(NumericError, match="NaN"):
            generate(lm, [[70, 71]])
    finally:
        hook.remove()


def test_a_batch_that_splits_too_widely_is_halved(tiny_lm: Models) -> None:
    lm = tiny_lm("llama")
    prompts = some_prompts(16, seed=10)
    options = {"max_new_tokens": 6, "temperature": 2.0, "samples": 40}
    wide = generate_ids(lm, prompts, **options)  # type: ignore[arg-type]
    narrow = generate_ids(lm, prompts, batch_tokens=64, **options)  # type: ignore[arg-type]
    assert wide == narrow


def test_progress_counts_prompts_to_the_end(tiny_lm: Models) -> None:
    told: list[tuple[int, int]] = []
    generate(
        tiny_lm("llama"),
        some_prompts(9),
        batch_tokens=100,
        max_new_tokens=4,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (9, 9)
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_texts_are_the_decoded_first_lines(tiny_lm: Models) -> None:
    lm = tiny_lm("llama")
    prompts = some_prompts(6, seed=11)
    texts = generate(lm, prompts, temperature=1.0, samples=3, max_new_tokens=12)
    ids = generate_ids(lm, prompts, temperature=1.0, samples=3, max_new_tokens=12)
    flat = np.array([lm.chat.decode(one) for answers in ids for one in answers]).reshape(6, 3)
    assert texts == flat.tolist()


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_greedy_on_cuda_equals_greedy_on_the_cpu(stories: LanguageModel) -> None:
    there = load(stories.path, device="cuda", dtype="float32")
    prompts = [stories.chat.prompt_ids(f"What did {name} see?") for name in ("Tom", "Lily", "Ben")]
    assert generate(there, prompts) == generate(stories, prompts)
