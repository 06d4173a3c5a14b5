"""The two sides of a comparison of answering: our engine, and transformers' ``generate``.

Both get the same prompts as token ids: facts of the made world behind the world's own few-shot
prompts, as a probe asks them. The peer has its prompts sorted by length, padded on the left, in
batches of one size, with sdpa attention; a row's answer is over at the end of its line, a batch
when all of its rows are. Adapters reach the peer through PEFT, switched one by one.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import processes
from benchmarks.processes import Work

MODULE = "benchmarks.answering_sides"
NEW = 32
"""most tokens of an answer, as probes have it"""
TIE = 1e-5
"""two logits of the reference that are no further apart may come either way"""
Ids = list[int]


def answered(workers: list[dict[str, Any]]) -> dict[str, Any]:
    """Run one side and join what its processes tell.

    Returns:
        ``seconds``, ``megabytes``, and ``answers``: by ``"adapter prompt"`` the ids of each answer.
    """
    seconds, rows = processes.together(workers, MODULE)
    answers = {}
    for row in rows:
        answers.update(json.loads(Path(row["answers"]).read_text()))
        Path(row["answers"]).unlink()
    return {
        "seconds": seconds,
        "megabytes": sum(row["megabytes"] for row in rows),
        "answers": answers,
    }


def prompts_of(lm: Any, plan: dict[str, Any]) -> dict[int, Ids]:
    """The prompts of a plan by number: question-major, ``take`` of them where given."""
    from lorepack import world
    from lorepack.probing import ProbeSettings, asking

    known = list(world.facts())
    facts = made_facts(plan["facts"]) if plan.get("made") else known[: plan["facts"]]
    settings = ProbeSettings(samples=0, prompts=plan["prompts"])
    shown = asking.choose_for(facts, known, settings)
    made = {}
    for number in plan.get("take") or range(len(facts) * plan["prompts"]):
        fact, prompt = divmod(number, plan["prompts"])
        made[number] = asking._prompt_ids(lm, facts[fact], shown, prompt, settings)
    return made


def made_facts(count: int) -> list[Any]:
    """The world's facts and as many new ones as are needed."""
    from lorepack import world

    known = list(world.facts())
    return [*known, *world.new_facts(max(1, count - len(known)), seed=7)][:count]


def adapters_of(lm: Any, count: int) -> list[tuple[Any, Any]]:
    """Specs and factors of adapters of mixed rank that change answers without breaking them."""
    import torch

    from lorepack.lora import AdapterSpec, Stack

    made = []
    for seed in range(count):
        rank = (4, 8, 16)[seed % 3]
        spec = AdapterSpec.for_model(lm.model, rank=rank, alpha=2 * rank, roles=("all-linear",))
        generator = torch.Generator().manual_seed(seed)
        factors = {
            name: (A, torch.randn(B.shape, generator=generator) * 0.04)
            for name, (A, B) in Stack(lm.model, [spec], [seed]).factors(0).items()
        }
        made.append((spec, factors))
    return made


def _prepared(plan: dict[str, Any]) -> Work:
    from lorepack import llm

    lm = llm.load("world")
    prompts = prompts_of(lm, plan)
    side = {"ours": _ours, "peer": _peer}[plan["side"]](lm, prompts, plan)

    def work() -> dict[str, Any]:
        answers = dict(side())
        with tempfile.NamedTemporaryFile("w", delete=False, suffix=".json") as file:
            json.dump(answers, file)
        return {"answers": file.name}

    return work


Side = Callable[[], Iterator[tuple[str, list[Ids]]]]


def _ours(lm: Any, prompts: dict[int, Ids], plan: dict[str, Any]) -> Side:
    from lorepack import llm
    from lorepack.lora import Stack

    count = plan.get("adapters", 0)
    sampling = _sampling(plan)
    if not count:

        def alone() -> Iterator[tuple[str, list[Ids]]]:
            found = llm.generate_ids(
                lm, list(prompts.values()), max_new_tokens=NEW, keys=list(prompts), **sampling
            )
            yield from ((f"0 {number}", row) for number, row in zip(prompts, found, strict=True))

        return alone
    made = adapters_of(lm, count)
    stack = Stack(lm.model, [spec for spec, _ in made], list(range(count)))
    for index, (_, factors) in enumerate(made):
        stack.load_factors(index, factors)

    def stacked() -> Iterator[tuple[str, list[Ids]]]:
        pairs = [(index, number) for index in range(count) for number in prompts]
        with _on(stack):
            found = llm.generate_ids(
                lm,
                [prompts[number] for _, number in pairs],
                max_new_tokens=NEW,
                stack=stack,
                adapters=[index for index, _ in pairs],
            )
        yield from ((f"{i} {n}", row) for (i, n), row in zip(pairs, found, strict=True))

    return stacked


def _on(stack: Any) -> AbstractContextManager[Any]:
    stack.use(None)
    attached: AbstractContextManager[Any] = stack.attached()
    return attached


def _sampling(plan: dict[str, Any]) -> dict[str, Any]:
    if not plan.get("samples"):
        return {}
    return {"samples": plan["samples"], "temperature": 0.5, "top_k": 40}


def _peer(lm: Any, prompts: dict[int, Ids], plan: dict[str, Any]) -> Side:
    lm.model.set_attn_implementation("sdpa")
    count = plan.get("adapters", 0)
    if not count:
        return lambda: _generated(lm, lm.model, prompts, plan, 0)
    model = _with_peft(lm, count)

    def switched() -> Iterator[tuple[str, list[Ids]]]:
        for index in range(count):
            model.set_adapter(f"a{index}")
            yield from _generated(lm, model, prompts, plan, index)

    return switched


def _with_peft(lm: Any, count: int) -> Any:
    from peft import PeftModel

    from lorepack import lora

    folder = Path(tempfile.mkdtemp())
    for index, (spec, factors) in enumerate(adapters_of(lm, count)):
        lora.save(folder / f"a{index}", spec, factors, base_name="world", provenance={})
    model = PeftModel.from_pretrained(lm.model, folder / "a0", adapter_name="a0")
    for index in range(1, count):
        model.load_adapter(folder / f"a{index}", adapter_name=f"a{index}")
    return model.eval()


def _generated(
    lm: Any, model: Any, prompts: dict[int, Ids], plan: dict[str, Any], index: int
) -> Iterator[tuple[str, list[Ids]]]:
    """Transformers' own loop over batches of like length."""
    import torch
    from transformers import GenerationConfig

    samples = plan.get("samples", 0)
    config = GenerationConfig(
        max_new_tokens=NEW,
        do_sample=bool(samples),
        pad_token_id=lm.chat.pad_id,
        eos_token_id=list(lm.chat.stop_ids),
        **({"temperature": 0.5, "top_k": 40, "num_return_sequences": samples} if samples else {}),
    )
    torch.manual_seed(0)
    order = sorted(prompts, key=lambda number: -len(prompts[number]))
    for start in range(0, len(order), plan["batch"]):
        batch = order[start : start + plan["batch"]]
        longest = max(len(prompts[number]) for number in batch)
        ids = torch.full((len(batch), longest), lm.chat.pad_id)
        mask = torch.zeros_like(ids)
        for row, number in enumerate(batch):
            ids[row, longest - len(prompts[number]) :] = torch.tensor(prompts[number])
            mask[row, longest - len(prompts[number]) :] = 1
        with torch.inference_mode():
            found = model.generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=config,
                stopping_criteria=[_LineEnd(lm, longest)],
            )
        new = found[:, longest:].tolist()
        width = max(samples, 1)
        for place, number in enumerate(batch):
            rows = new[place * width : (place + 1) * width]
            yield f"{index} {number}", [_ended(lm, row) for row in rows]


class _LineEnd:
    """Tells transformers which rows have come to the end of their line."""

    def __init__(self, lm: Any, start: int) -> None:
        self.ends, self.start = lm.chat.line_ends, start
        self.begun: Any = None

    def __call__(self, input_ids: Any, scores: Any, **options: Any) -> Any:
        import torch

        if self.begun is None:
            self.begun = np.zeros(len(input_ids), bool)
        ended, self.begun = self.ends.step(input_ids[:, -1].numpy(), self.begun)
        return torch.from_numpy(ended)


def _ended(lm: Any, ids: Sequence[int]) -> Ids:
    """The ids of an answer as our engine gives them: no stop id, the newline kept."""
    begun = np.zeros(1, bool)
    for place, token in enumerate(ids):
        ended, begun = lm.chat.line_ends.step(np.array([token]), begun)
        if ended[0]:
            stopped = lm.chat.line_ends.is_stop(np.array([token]))[0]
            return list(ids[: place if stopped else place + 1])
    return list(ids)


def apart(
    lm: Any, prompts: dict[int, Ids], ours: dict[str, Any], theirs: dict[str, Any]
) -> dict[str, int]:
    """Greedy answers that differ: how many, and how many of them at a tie of the reference's."""
    import torch

    different = [key for key in theirs if ours[key] != theirs[key]]
    ties = 0
    for key in different:
        mine, want = ours[key][0], theirs[key][0]
        same = next((i for i, (a, b) in enumerate(zip(mine, want)) if a != b), None)  # noqa: B905
        place = min(len(mine), len(want)) if same is None else same
        ids = torch.tensor([prompts[int(key.split()[1])] + want[:place]])
        with torch.inference_mode():
            top = lm.model(input_ids=ids).logits[0, -1].topk(2).values
        ties += bool(top[0] - top[1] <= TIE)
    return {"rows": len(theirs), "different": len(different), "ties": ties}


def tokens_of(prompts: dict[int, Ids], answers: dict[str, Any], shared: float) -> dict[str, float]:
    """Mean tokens of prefix, question and answer, and the ceiling (P + q + a) / (q + a)."""
    lengths = [len(ids) for ids in prompts.values()]
    P = shared
    q = sum(lengths) / len(lengths) - P
    a = float(np.mean([len(row) + 1 for rows in answers.values() for row in rows]))
    return {"prefix": P, "question": q, "answer": a, "ceiling": (P + q + a) / (q + a)}


def shared_prefix(prompts: dict[int, Ids], each: int) -> float:
    """Mean over prompts of the tokens that most questions behind the same exemplars share."""
    found = []
    for prompt in range(each):
        rows = [ids for number, ids in prompts.items() if number % each == prompt]
        first = sorted(rows)[len(rows) // 2]
        common = [_common(first, row) for row in rows if row is not first]
        found.append(float(np.median(common)) if common else 0.0)
    return float(np.mean(found))


def _common(one: Ids, other: Ids) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), len(one))  # noqa: B905


if __name__ == "__main__":
    raise SystemExit(processes.serve(_prepared))
