"""A language model that says what a test tells it to, and counts what it was asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorepack.facts import Fact
from lorepack.llm import Turn


@dataclass(frozen=True)
class Asked:
    """One question as the model sees it; ``sample`` is None for the greedy answer."""

    question: str
    turns: tuple[tuple[str, str], ...]
    system: str
    sample: int | None
    key: str
    adapted: bool = False

    def chance(self) -> float:
        """A number in 0..1 that looks random and is the same every time."""
        text = json.dumps([self.key, self.question, self.turns, self.sample, self.adapted])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


Say = Callable[[Asked], str]


class PlainChat:
    """Prompts as the characters of a JSON text, so that the model can read them back."""

    def prompt_ids(self, user: str, turns: Sequence[Turn] = (), system: str = "") -> list[int]:
        shown = [[turn.user, turn.assistant] for turn in turns]
        return [ord(c) for c in json.dumps([system, shown, user])]

    def text_ids(self, text: str) -> list[int]:
        return [ord(c) for c in text]


class PlainTokenizer:
    """A token is a character."""

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))


@dataclass
class ScriptedModel:
    """Stands where a `LanguageModel` is expected."""

    say: Say
    name: str = "scripted"
    fingerprint: str = "f" * 64
    dtype: str = "torch.float32"
    device: str = "cpu"
    context: int = 100_000
    chat: PlainChat = field(default_factory=PlainChat)
    tokenizer: PlainTokenizer = field(default_factory=PlainTokenizer)
    adapted: bool = False
    asked: list[Asked] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    before_call: Callable[[int], None] = lambda number: None

    def generate(
        self, lm: Any, prompts: Sequence[Sequence[int]], *, keys: Sequence[str], **options: Any
    ) -> list[list[str]]:
        """As `lorepack.llm.generate`."""
        assert lm is self
        self.before_call(len(self.calls))
        self.calls.append({"prompts": [list(p) for p in prompts], "keys": list(keys), **options})
        samples = options.get("samples", 1) if options.get("temperature", 0) else 0
        wanted: list[int | None] = [None, *range(samples)] if options.get("greedy") else [None]
        return [
            [self._one(p, key, s) for s in wanted] for p, key in zip(prompts, keys, strict=True)
        ]

    def _one(self, prompt: Sequence[int], key: str, sample: int | None) -> str:
        system, turns, user = json.loads("".join(map(chr, prompt)))
        shown = tuple((u.removeprefix("Question: "), a.removeprefix("Answer: ")) for u, a in turns)
        asked = Asked(user.removeprefix("Question: "), shown, system, sample, key, self.adapted)
        self.asked.append(asked)
        return self.say(asked)

    @contextmanager
    def adapter_on(self) -> Iterator[None]:
        """Put the adapter on for a block."""
        assert not self.adapted
        self.adapted = True
        try:
            yield
        finally:
            self.adapted = False


def some_facts(count: int, relations: int = 3) -> list[Fact]:
    """Facts whose answers are all different."""
    return [
        Fact(
            f"Where is place number {i}?",
            f"Town{i}",
            aliases=(f"City{i}",),
            relation=f"r{i % relations}",
            id=f"id{i:04d}",
        )
        for i in range(count)
    ]


def knows(facts: Sequence[Fact], share: float = 0.5) -> Say:
    """A model that gives the right answer by a chance that depends on question and prompt."""
    answers = {fact.question: fact.answer for fact in facts}

    def say(asked: Asked) -> str:
        chance = asked.chance()
        if chance < share:
            return f"Answer: {answers[asked.question]}"
        return "I don't know." if chance > 0.9 else f"Answer: Elsewhere{int(chance * 7)}"

    return say


def files_of(folder: Path) -> dict[str, bytes]:
    """The bytes of a results folder, timings and locks left out."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("timing.json", ".lorepack.lock")
    }


class Killed(BaseException):
    """What a test raises in the middle of a run, like Ctrl-C no error that code may catch."""


def killer(at: int) -> Callable[[int], None]:
    """Stop the run when call number ``at`` of the engine begins."""

    def before_call(number: int) -> None:
        if number == at:
            raise Killed

    return before_call
