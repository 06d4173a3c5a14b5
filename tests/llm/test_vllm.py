"""vLLM's engine speaks as ours does: against a stand-in that answers with our own model."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lorepack.errors import InputError, NotFoundError
from lorepack.llm import LanguageModel, generate
from lorepack.llm.vllm_engine import Comparison, VllmEngine

Models = Callable[[str], LanguageModel]
PROMPTS = [[70 + i, 80, 90] for i in range(5)]


class StandIn:
    """The module ``vllm`` around a model of ours; it remembers what it was asked."""

    def __init__(self, lm: LanguageModel) -> None:
        self.lm = lm
        self.made: dict[str, Any] = {}
        self.calls: list[tuple[list[Any], list[Any], Any]] = []
        self.module = types.ModuleType("vllm")
        self.module.LLM = self._make  # type: ignore[attr-defined]
        self.module.SamplingParams = lambda **values: SimpleNamespace(**values)  # type: ignore[attr-defined]
        self.request = types.ModuleType("vllm.lora.request")
        self.request.LoRARequest = lambda *values: values  # type: ignore[attr-defined]

    def _make(self, **options: Any) -> Any:
        self.made = options
        return SimpleNamespace(generate=self._generate)

    def _generate(
        self, prompts: Sequence[dict], params: Sequence[Any], lora_request: Any, use_tqdm: bool
    ) -> list[Any]:
        self.calls.append((list(prompts), list(params), lora_request))
        outputs = []
        for prompt, one in zip(prompts, params, strict=True):
            texts = generate(
                self.lm,
                [prompt["prompt_token_ids"]],
                max_new_tokens=one.max_tokens,
                temperature=one.temperature,
                samples=one.n,
                until="turn",
                keys=[one.seed],
            )[0]
            stop = getattr(one, "stop", [])
            said = [f"\n{t}" if prompt["prompt_token_ids"][0] == 71 else t for t in texts]
            cut = [t.partition("\n")[0] if stop else t for t in said]
            outputs.append(SimpleNamespace(outputs=[SimpleNamespace(text=t) for t in cut]))
        return outputs


@pytest.fixture
def stand_in(tiny_lm: Models, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    found = StandIn(tiny_lm("llama"))
    monkeypatch.setitem(sys.modules, "vllm", found.module)
    monkeypatch.setitem(sys.modules, "vllm.lora.request", found.request)
    return found


def test_greedy_answers_are_ours_even_behind_a_leading_newline(stand_in: StandIn) -> None:
    told: list[str] = []
    engine = VllmEngine("folder", note=told.append)
    found = engine.generate(stand_in.lm, PROMPTS, max_new_tokens=8)
    assert found == generate(stand_in.lm, PROMPTS, max_new_tokens=8)
    assert stand_in.made == {"model": "folder", "enable_prefix_caching": True}
    assert [one.stop for one in stand_in.calls[0][1]] == [["\n"]] * 5
    assert len(stand_in.calls[1][0]) == 1  # the one that began with a newline, asked again
    assert engine.comparison == Comparison(5, 0)
    assert told == ["vllm: 0 of 5 greedy answers differ from ours"]


def test_answers_that_differ_are_counted(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = VllmEngine("folder")
    monkeypatch.setattr(
        "lorepack.llm.vllm_engine.generate", lambda _lm, prompts, **_: [["other"]] * len(prompts)
    )
    engine.generate(stand_in.lm, PROMPTS, max_new_tokens=4)
    assert engine.comparison == Comparison(5, 5)


def test_samples_come_behind_the_greedy_answer_and_depend_on_their_key(stand_in: StandIn) -> None:
    engine = VllmEngine("folder", compared=0)
    options: dict[str, Any] = {
        "max_new_tokens": 6,
        "temperature": 0.9,
        "samples": 3,
        "greedy": True,
    }
    keys = [f"fact {i}" for i in range(5)]
    found = engine.generate(stand_in.lm, PROMPTS, keys=keys, **options)
    assert [len(row) for row in found] == [4] * 5
    greedy = engine.generate(stand_in.lm, PROMPTS, max_new_tokens=6)
    assert [row[:1] for row in found] == greedy
    turned = engine.generate(stand_in.lm, PROMPTS[::-1], keys=keys[::-1], **options)
    assert turned == found[::-1]
    assert engine.comparison is None


def test_adapters_are_requests_for_their_folders(stand_in: StandIn, tmp_path: Path) -> None:
    engine = VllmEngine("folder", [tmp_path / "a", tmp_path / "b"], rank=8, compared=0)
    assert stand_in.made["enable_lora"]
    assert stand_in.made["max_lora_rank"] == 8
    engine.generate(stand_in.lm, PROMPTS[2:], adapters=[None, 1, 0])
    assert stand_in.calls[0][2] == [
        None,
        ("1 b", 2, str(tmp_path / "b")),
        ("0 a", 1, str(tmp_path / "a")),
    ]
    with pytest.raises(InputError, match="adapter 2; expected one of 2"):
        engine.generate(stand_in.lm, PROMPTS[:1], adapters=[2])


def test_without_vllm_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(NotFoundError, match=r"pip install 'lorepack\[vllm\]'"):
        VllmEngine("folder")
