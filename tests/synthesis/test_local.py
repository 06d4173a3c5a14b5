"""A model on this machine writes whole replies, the same in every batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from llm.conftest import STORIES, byte_tokenizer, scripted, wrap
from lorepack.errors import InputError, NumericError
from lorepack.llm import LanguageModel, generate_ids, load
from lorepack.synthesis.writers import writer_named
from lorepack.synthesis.writers.local import LocalWriter
from lorepack.synthesis.writers.writer import Reply, Request, Task
from tiny_models import tiny

TASK = Task("qa", 1)


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return wrap(tiny("llama"))


def written(writer: Any, asked: list[Request]) -> list[Reply]:
    found: dict[int, Reply] = {}

    def keep(index: int, reply: Reply) -> None:
        assert index not in found
        found[index] = reply

    writer.write(asked, keep)
    return [found[i] for i in range(len(asked))]


def asked(count: int, **values: Any) -> list[Request]:
    """Requests of different lengths."""
    return [
        Request("Be brief.", f"Tell of {'x' * (7 * i % 30)} {i}", TASK, **values)
        for i in range(count)
    ]


def test_a_reply_is_the_models_whole_turn_with_its_tokens_counted(lm: LanguageModel) -> None:
    request = Request("Be brief.", "Tell.", TASK, max_tokens=30)
    prompt = lm.chat.prompt_ids("Tell.", system="Be brief.")
    with scripted(lm, prompt, [*b' {"a":\n\n1}\n', 2, *b"never"]):
        assert written(LocalWriter(lm), [request]) == [
            Reply('{"a":\n\n1}', None, len(prompt), 11, finished=True)
        ]


def test_a_reply_that_does_not_end_is_known_as_cut_off(lm: LanguageModel) -> None:
    prompt = lm.chat.prompt_ids("Tell.", system="")
    with scripted(lm, prompt, [*b"one\ntwo", 2, *b"never"]):
        replies = [
            written(LocalWriter(lm), [Request("", "Tell.", TASK, max_tokens=most)])[0]
            for most in (5, 7, 8)
        ]
    assert [(reply.text, reply.finished) for reply in replies] == [
        ("one\nt", False),
        ("one\ntwo", False),
        ("one\ntwo", True),
    ]


def test_every_request_gets_its_own_reply_whatever_its_temperature_and_limit(
    lm: LanguageModel,
) -> None:
    requests = [
        *asked(6, max_tokens=20),
        *asked(3, max_tokens=7),
        *asked(6, max_tokens=20, temperature=0.8, seed=4),
    ]
    together = written(LocalWriter(lm), requests)
    for request, reply in zip(requests, together, strict=True):
        assert written(LocalWriter(lm), [request]) == [reply]
    assert written(LocalWriter(lm), requests[::-1]) == together[::-1]
    for request, reply in zip(requests[:6], together[:6], strict=True):
        prompt = lm.chat.prompt_ids(request.user, system=request.system)
        ((ids,),) = generate_ids(lm, [prompt], max_new_tokens=20, until="turn")
        assert reply.text == lm.chat.decode_turn(ids)


def test_draws_follow_the_seed_and_the_request(lm: LanguageModel) -> None:
    one, other, again = (
        written(LocalWriter(lm), asked(2, max_tokens=20, temperature=1.0, seed=seed))
        for seed in (1, 2, 1)
    )
    assert one == again
    assert one[0].text != other[0].text
    greedy = written(LocalWriter(lm), asked(2, max_tokens=20, seed=1))
    assert greedy == written(LocalWriter(lm), asked(2, max_tokens=20, seed=2))
    assert greedy != one


def test_a_prompt_that_is_too_long_fails_alone_and_with_numbers(lm: LanguageModel) -> None:
    long = Request("", "y" * 300, TASK, max_tokens=20)
    first, failed, last = written(LocalWriter(lm), [*asked(1, max_tokens=20), long, *asked(1)])
    assert failed.failed is not None
    size = len(lm.chat.prompt_ids("y" * 300, system=""))
    assert f"a prompt of {size} tokens leaves no room for a reply of 20" in failed.failed
    assert "context of 256 tokens of tiny" in failed.failed
    assert first.text
    assert last.text


@pytest.mark.parametrize(
    ("room", "granted", "given"), [(100, 100, 100), (100, 64, 64), (100, 500, 62), (16, 64, 16)]
)
def test_a_reply_takes_a_half_or_a_quarter_where_the_context_leaves_no_more(
    lm: LanguageModel, room: int, granted: int, given: int
) -> None:
    frame = len(lm.chat.prompt_ids("", system=""))
    user = "y" * (lm.context - room - frame)
    prompt = lm.chat.prompt_ids(user, system="")
    assert len(prompt) == lm.context - room
    with scripted(lm, prompt, [*b"z" * 200]):
        (reply,) = written(LocalWriter(lm), [Request("", user, TASK, max_tokens=granted)])
    assert (reply.completion_tokens, reply.finished) == (given, False)
    (none,) = written(LocalWriter(lm), [Request("", f"{user}{'y' * (room - 15)}", TASK)])
    assert none.failed


def test_nan_ends_all_with_its_name_and_what_was_kept_stays(lm: LanguageModel) -> None:
    kept: list[int] = []
    hook = lm.model.lm_head.register_forward_hook(lambda _m, _a, out: out * float("nan"))
    try:
        with pytest.raises(NumericError, match="NaN"):
            LocalWriter(lm).write(
                [*asked(2), Request("", "y" * 300, TASK)], lambda i, _: kept.append(i)
            )
    finally:
        hook.remove()
    assert kept == [2]


def test_the_identity_tells_weights_dtypes_and_templates_apart() -> None:
    model = tiny("llama")
    shout = "{% for m in messages %}{{ m['content'] }}!{% endfor %}"
    plain, again, other = wrap(model), wrap(model), wrap(model, byte_tokenizer(chat_template=shout))
    assert LocalWriter(plain).identity == LocalWriter(again).identity
    assert LocalWriter(plain).identity != LocalWriter(other).identity
    object.__setattr__(again, "dtype", torch.bfloat16)
    assert LocalWriter(plain).identity != LocalWriter(again).identity
    object.__setattr__(other, "fingerprint", "abc")
    assert "abc float32" in LocalWriter(other).identity
    assert LocalWriter(plain).context == 256


def test_no_requests_no_replies(lm: LanguageModel) -> None:
    assert written(LocalWriter(lm), []) == []


def test_a_real_model_writes_what_transformers_would() -> None:
    if not STORIES.is_dir():
        pytest.skip(f"needs the model folder {STORIES.name} in shared/data/models")
    lm = load(STORIES, device="cpu")
    request = Request("", "What did Lily see?", TASK, max_tokens=60)
    (reply,) = written(LocalWriter(lm), [request])
    prompt = lm.chat.prompt_ids(request.user, system="")
    whole = lm.model.generate(torch.tensor([prompt]), max_new_tokens=60, do_sample=False)
    told = lm.tokenizer.decode(whole[0, len(prompt) :], skip_special_tokens=True)
    assert reply.text == told.strip()
    assert reply.prompt_tokens == len(prompt)


def test_the_worlds_model_is_a_writer_by_its_name() -> None:
    writer = writer_named("world", device="cpu")
    assert isinstance(writer, LocalWriter)
    replies = written(writer, asked(3, max_tokens=24))
    assert all(reply.text and reply.prompt_tokens for reply in replies)
    with pytest.raises(InputError, match="device 'gpu'"):
        writer_named("world", device="gpu")
