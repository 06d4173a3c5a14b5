"""The base as a teacher: what it says, adapters off, once for all jobs that compare with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile

import torch
from torch import Tensor

from lorepack.lora import Stack
from lorepack.training.batches import Example
from lorepack.training.job import Base, Job, pad_id
from lorepack.training.objectives import Objective, Reading, Taught, trained_term
from lorepack.training.outputs import outputs_at
from lorepack.training.rows import MOST, Rows, can_share, common, lay_out, split

HELD = 2**29
"""bytes of targets that are held over epochs, all jobs together; where they need more, none are"""
TOKENS = 4096
"""of one forward pass, and of what is taught together"""

Asked = Mapping[Objective, Sequence[tuple[int, Example]]]
"""objective -> the job and the example of each of its targets, in the order of the tokens"""
_Targets = dict[tuple[Objective, Reading], Taught]


class Teacher:
    """Targets for objectives that compare with the base.

    The base never changes, so that the targets of an example are always the same. Where those of
    all jobs fit into ``held`` bytes they are computed once: chunk by chunk of a job's examples in
    the order of its data, so that their rounding does not depend on who is trained beside it or
    on when a job resumed. Where they do not fit, every step computes its own, those that several
    jobs ask for once.

    Args:
        lm: the base.
        jobs: all that will be trained.
        held: bytes; a fixed number rather than the memory of the moment, since a resumed job must
            compute as it did before.
    """

    def __init__(self, lm: Base, jobs: Sequence[Job], held: int = HELD) -> None:
        self.lm = lm
        self._chunks: list[dict[Reading, _Chunk]] = [{} for _ in jobs]
        chunks: dict[tuple[Objective, tuple[Reading, ...]], _Chunk] = {}
        for number, job in enumerate(jobs):
            objective = trained_term(job.recipe).objective
            for reads in _chunked(objective, job):
                # Jobs on the same data share their chunks.
                chunk = chunks.setdefault((objective, reads), _Chunk(objective, reads))
                self._chunks[number] |= dict.fromkeys(reads, chunk)
        if sum(chunk.bytes(lm) for chunk in chunks.values()) > held:
            self._chunks = [{} for _ in jobs]

    def step(self, stack: Stack, passes: Sequence[Asked]) -> Iterator[dict[Objective, Taught]]:
        """The targets of each pass of a step in turn; what a later one needs too is kept for it.

        Args:
            stack: attached.
            passes: what each asks for.
        """
        needed = [
            [(o, r) for o, r, chunk in self._readings(asked) if chunk is None] for asked in passes
        ]
        uses = Counter(need for needs in needed for need in needs)
        now: _Targets = {}
        for asked, needs in zip(passes, needed, strict=True):
            now |= self._learn(stack, [need for need in dict.fromkeys(needs) if need not in now])
            yield {objective: self._of(stack, objective, asked, now) for objective in asked}
            for need in needs:
                uses[need] -= 1
                if not uses[need]:
                    del now[need]

    def _of(self, stack: Stack, objective: Objective, asked: Asked, now: _Targets) -> Taught:
        found = []
        for _, read, chunk in self._readings({objective: asked[objective]}):
            if chunk is not None and not chunk.targets:
                needs = [(objective, each) for each in chunk.reads]
                chunk.targets = self._learn(stack, needs)
            found.append((now if chunk is None else chunk.targets)[objective, read])
        return tuple(torch.cat(parts) for parts in zip(*found, strict=True))

    def _readings(self, asked: Asked) -> Iterator[tuple[Objective, Reading, _Chunk | None]]:
        for objective, examples in asked.items():
            for job, example in examples:
                read = objective.reading(example)
                assert read is not None
                chunk = self._chunks[job].get(read)
                held = chunk is not None and chunk.objective == objective
                yield objective, read, chunk if held else None

    def _learn(self, stack: Stack, needs: Sequence[tuple[Objective, Reading]]) -> _Targets:
        """Let the base read, each sequence once."""
        found: _Targets = {}
        readers: dict[Reading, list[Objective]] = {}
        for objective, read in needs:
            readers.setdefault(read, []).append(objective)
        hidden = any(objective.hidden for objective, _ in needs)
        for rows in _passes(list(readers), self.lm):
            order = [(e.ids, e.answer_start) for row in rows for e in row]
            counts = [len(ids) - first for ids, first in order]
            laid = lay_out([(0, False, row) for row in rows], pad_id(self.lm)).to(self.lm.device)
            with torch.no_grad(), stack.using(None):
                outputs = outputs_at(self.lm.model, laid, hidden)
                for objective in dict.fromkeys(o for o, _ in needs):
                    mine = [objective in readers[read] for read in order]
                    taught = objective.taught(outputs.at(_where(mine, counts, laid)))
                    sizes = [c for c, wanted in zip(counts, mine, strict=True) if wanted]
                    reads = [read for read, wanted in zip(order, mine, strict=True) if wanted]
                    for read, parts in zip(reads, _divided(taught, sizes), strict=True):
                        found[objective, read] = parts
        return found


class _Chunk:
    """Readings whose targets are computed together, whoever asks first."""

    def __init__(self, objective: Objective, reads: tuple[Reading, ...]) -> None:
        self.objective, self.reads = objective, reads
        self.targets: _Targets = {}

    def bytes(self, lm: Base) -> int:
        """What its targets will take."""
        model = lm.model
        inner = model.config.get_text_config(decoder=True)  # type: ignore[union-attr, operator]
        weight: Tensor = model.get_input_embeddings().weight  # type: ignore[operator]
        numbers = self.objective.numbers(
            weight.shape[0], inner.hidden_size, inner.num_hidden_layers
        )
        tokens = sum(len(ids) - first for ids, first in self.reads)
        return tokens * numbers * max(4, weight.element_size())


def _chunked(objective: Objective, job: Job) -> Iterator[tuple[Reading, ...]]:
    """The readings of a job's examples in the order of its data; none where each is used once."""
    if job.total_steps <= job.steps_an_epoch:
        return
    chunk: list[Reading] = []
    size = 0
    for read in dict.fromkeys(map(objective.reading, job.data.examples)):
        if read is None:
            return
        if chunk and size + len(read[0]) > TOKENS:
            yield tuple(chunk)
            chunk, size = [], 0
        chunk.append(read)
        size += len(read[0])
    yield tuple(chunk)


def _passes(reads: Sequence[Reading], lm: Base) -> Iterator[list[list[Example]]]:
    """The rows of each forward pass: what begins alike in one row, its beginning once."""
    if not reads:
        return
    longest = max(len(ids) for ids, _ in reads)
    share = can_share(lm.model.config, longest)  # type: ignore[arg-type]
    rows: list[list[Example]] = []
    size = 0
    for family in _families(reads):
        # A passage may be longer than a row of questions: its rows grow with it.
        for row in split(family, share, max(MOST, 2 * common(family))):
            cost = sum(len(e.ids) for e in row) - (len(row) - 1) * common(row)
            if rows and size + cost > TOKENS:
                yield rows
                rows, size = [], 0
            rows.append(row)
            size += cost
    yield rows


def _families(reads: Sequence[Reading]) -> list[list[Example]]:
    """Sequences that have half of their tokens or more in common stand together."""
    families: list[list[Example]] = []
    for ids, first in sorted(reads):
        example = Example(ids, first, "")
        before = families[-1][0].ids if families else ()
        pairs = zip(before, ids, strict=False)
        alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        if 2 * alike >= min(len(before), len(ids)) > 0:
            families[-1].append(example)
        else:
            families.append([example])
    return families


def _where(mine: Sequence[bool], counts: Sequence[int], rows: Rows) -> Tensor | None:
    """The places int64 (p,) of some sequences' tokens among those of all; None for all."""
    if all(mine):
        return None
    wanted = torch.repeat_interleave(torch.tensor(mine), torch.tensor(counts))
    return wanted.nonzero().flatten().to(rows.targets.device)


def _divided(taught: Taught, sizes: Sequence[int]) -> list[Taught]:
    """Cut each (P, …) by sequence."""
    return list(zip(*(part.split(list(sizes)) for part in taught), strict=True))
