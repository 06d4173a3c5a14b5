"""Our model answers the harness as the harness's own backend does."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from lorepack import lora
from lorepack.errors import InputError
from lorepack.llm import LanguageModel, load
from lorepack.lora import AdapterSpec, Stack

pytest.importorskip("lm_eval")

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from lorepack.auditing.harm.model import HarnessModel

STORIES = Path(__file__).parents[4] / "shared/data/models/stories260K"
needs_stories = pytest.mark.skipif(
    not STORIES.is_dir(), reason="needs shared/data/models/stories260K"
)
MODELS = ["world", pytest.param(str(STORIES), marks=needs_stories, id="stories260K")]

PAIRS = [
    ("Question: Where is the mill?\nAnswer:", " By the river"),
    ("Question: Where is the mill?\nAnswer:", " In the town, they say"),
    ("Question: Where is the mill? ", "By the river"),  # the space belongs to the answer
    ("Two lines\n", "and a third"),
    ("", "Once upon a time there was"),
    ("The boy said: “It’s über-cold — naïve?”", " No, it’s not 5 °C."),
    ("<|bos|>A text with its own first token", " goes on"),
    ("A B C D E F", " G"),
]


@pytest.fixture(scope="module", params=MODELS)
def lm(request) -> LanguageModel:
    return load(request.param, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def peer(lm: LanguageModel) -> HFLM:
    logging.getLogger("lm_eval").setLevel(logging.CRITICAL)
    # transformers would let a model's own default win over what the harness asks for
    lm.model.generation_config.max_new_tokens = None
    return HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=1, max_length=lm.context)


def requests(kind: str, arguments: list[tuple]) -> list[Instance]:
    return [Instance(kind, {}, args, i, ("t", i, 1)) for i, args in enumerate(arguments)]


def agree(ours: list, theirs: list) -> None:
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]
    for (mine, _), (peers, _) in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(peers, abs=1e-4)


def test_log_likelihoods_and_greediness_are_those_of_the_harness(lm, peer) -> None:
    asked = requests("loglikelihood", PAIRS)
    theirs = peer.loglikelihood(asked, disable_tqdm=True)
    agree(HarnessModel(lm).loglikelihood(asked), theirs)
    assert len({round(value, 3) for value, _ in theirs}) == len(PAIRS)


def test_what_greedy_decoding_writes_is_greedy(lm, peer) -> None:
    context = "Once upon a time"
    start = lm.chat.text_ids(context)
    ids = list(start)
    for _ in range(5):
        with torch.inference_mode():
            ids.append(int(lm.model(torch.tensor([ids])).logits[0, -1].argmax()))
    model = HarnessModel(lm)
    [(_, greedy)] = model.likelihoods([(start, ids[len(start) :])], [None])[0]
    assert greedy
    other = [*ids[len(start) : -1], (ids[-1] + 1) % 100]
    [(_, greedy)] = model.likelihoods([(start, other)], [None])[0]
    assert not greedy


@pytest.mark.parametrize("over", [0, 1, 2, 40])
def test_pairs_at_and_beyond_the_context_are_cut_as_the_harness_cuts_them(lm, peer, over) -> None:
    word = lm.tokenizer.encode(" the", add_special_tokens=False)
    text = "Once" + " upon a time there was a girl" * lm.context
    before = lm.chat.text_ids(text)[: lm.context + over - 3]
    after = (word * 3)[:3]
    asked = [(("", ""), before, after)]
    [(theirs, _)] = peer._loglikelihood_tokens(asked, disable_tqdm=True)
    model = HarnessModel(lm)
    [(ours, _)] = model._loglikelihood_tokens(asked)
    assert ours == pytest.approx(theirs, abs=1e-4)
    assert model.fits(len(before) + len(after)) == (over <= 1)


def test_whole_texts_are_read_in_the_windows_of_the_harness(lm, peer) -> None:
    texts = [("Once upon a time. " * 300,), ("Short.",)]
    ours = HarnessModel(lm).loglikelihood_rolling(requests("loglikelihood_rolling", texts))
    theirs = peer.loglikelihood_rolling(requests("loglikelihood_rolling", texts), True)
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_texts_up_to_a_stop_are_those_of_the_harness(lm, peer) -> None:
    settings = {"until": ["\n", "."], "max_gen_toks": 80, "do_sample": False, "temperature": 0.0}
    long = {"until": ["\n\n"], "max_gen_toks": 80, "do_sample": False, "temperature": 0.0}
    asked = [(text, kind) for text in ("Once upon a time", "The big cat and") for kind in
             (settings, long)]  # fmt: skip
    ours = HarnessModel(lm).generate_until(requests("generate_until", asked))
    assert ours == peer.generate_until(requests("generate_until", asked), disable_tqdm=True)
    assert all("." not in text for text in ours[::2])
    assert any(ours)


def test_a_task_that_samples_is_refused(lm) -> None:
    asked = requests("generate_until", [("Once", {"do_sample": True, "temperature": 1.0})])
    with pytest.raises(InputError, match="samples"):
        HarnessModel(lm).generate_until(asked)


@pytest.fixture
def stack(lm) -> Stack:
    spec = AdapterSpec(2, 4.0, False, tuple(lora.resolve(lm.model, ("mlp",))))
    stack = Stack(lm.model, [spec, spec], [0, 1])
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for factor in stack.B.values():
            factor.normal_(0, 0.05, generator=draw)
    return stack


def test_adapters_of_a_stack_answer_as_their_merged_weights(lm, peer, stack) -> None:
    model = HarnessModel(lm, stack)
    pairs = [model.pair(*pair) for pair in PAIRS]
    with stack.attached():
        stack.use(None)
        base, first, second = model.likelihoods(pairs, [None, 0, 1])
    asked = requests("loglikelihood", PAIRS)
    agree(base, peer.loglikelihood(asked, disable_tqdm=True))
    for index, rows in enumerate((first, second)):
        with lora.merged(lm.model, stack.specs[index], stack.factors(index)):
            agree(rows, peer.loglikelihood(asked, disable_tqdm=True))
        assert rows != base
