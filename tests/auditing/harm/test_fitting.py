"""Shots are left out from the end, as few as will do, and items too long are counted."""

from __future__ import annotations

import random
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from lorepack.auditing.harm.fitting import fit


class Sampler:
    """Draws shots that are different every time, as the harness's own does."""

    def __init__(self, pool: list[str]) -> None:
        self.pool, self.rnd, self.draws = pool, random.Random(0), 0

    def sample(self, n: int, eval_doc: object = None) -> list[str]:
        self.draws += 1
        return self.rnd.sample(self.pool, n)

    def set_rnd(self, seed: int | None) -> None:
        self.rnd = random.Random(seed)


class Config(SimpleNamespace):
    """Read both ways, as the harness does."""

    def __getitem__(self, key: str) -> object:
        return getattr(self, key)


class Task:
    """A task of the harness, as far as shots are concerned."""

    def __init__(self, shots: int, pool: list[str]) -> None:
        self.config = Config(task="toy", num_fewshot=shots)
        self.sampler = Sampler(pool)
        self.shots: list[list[str]] = []

    def fewshot_context(self, doc: str, num_fewshot: int = 0) -> str:
        drawn = list(self.sampler.sample(num_fewshot)) if num_fewshot else []
        self.last = drawn
        return "".join([*drawn, doc])

    def construct_requests(self, *, doc: str, ctx: str, **_: object) -> SimpleNamespace:
        return SimpleNamespace(request_type="loglikelihood", args=(ctx, "!"))


class Model:
    """A character is a token."""

    def __init__(self, context: int) -> None:
        self.lm = SimpleNamespace(context=context)

    def length(self, context: str, continuation: str) -> int:
        return len(context) + len(continuation)

    def fits(self, tokens: int) -> bool:
        return tokens <= self.lm.context + 1


@given(
    docs=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    sizes=st.lists(st.integers(1, 20), min_size=5, max_size=9),
    asked=st.integers(0, 5),
    context=st.integers(8, 60),
)
def test_the_fewest_are_left_out_and_from_the_end(docs, sizes, asked, context):
    pool = [chr(97 + i) * size for i, size in enumerate(sizes)]
    plain, task = Task(asked, pool), Task(asked, pool)
    found = fit(task, Model(context))
    overlong = 0
    for number, size in enumerate(docs):
        doc = "#" * size
        plain.fewshot_context(doc, asked)
        want = list(plain.last)
        room = context + 1 - size - 1
        while want and sum(map(len, want)) > room:
            want.pop()
        overlong += sum(map(len, want)) > room
        assert task.fewshot_context(doc, num_fewshot=asked) == "".join([*want, doc])
        assert found.used[number] == len(want)
    assert found.overlong == overlong
    assert found.asked == asked
    if asked:
        assert task.sampler.sampler.draws == len(docs)  # one draw an item: as the harness's
