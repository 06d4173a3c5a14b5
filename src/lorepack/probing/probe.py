"""Measuring what a model knows of every fact, in chunks that survive a crash."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorepack import files, folders
from lorepack.errors import InputError
from lorepack.facts import Fact
from lorepack.llm import QUESTION, LanguageModel
from lorepack.probing import controls, floor, store
from lorepack.probing.asking import Answers, Generate, Progress, choose_for, collect
from lorepack.probing.categories import count, label
from lorepack.probing.controls import Controls
from lorepack.probing.prompts import Prompts
from lorepack.probing.result import ProbeResult
from lorepack.probing.settings import ProbeSettings
from lorepack.probing.tally import Tally, tally
from lorepack.refusals import Lexicon
from lorepack.text import is_refusal

WRITTEN = ("probe.json", "categories.parquet", "answers.parquet", "prompts.json")
WITH_CONTROLS = ("controls.parquet", "luck.parquet")
NAMED = 1000  # over-long questions named in probe.json; the rest are counted, and null in answers


def probe(
    lm: LanguageModel,
    facts: Sequence[Fact],
    out: Path | str,
    settings: ProbeSettings | None = None,
    *,
    pool: Sequence[Fact] | None = None,
    prompts: Prompts | None = None,
    adapter_tag: str = "",
    generate: Generate | None = None,
    progress: Progress | None = None,
    notes: Sequence[str] = (),
    overwrite: bool = False,
) -> ProbeResult:
    """Ask every fact through few-shot prompts and sort the facts into SliCK categories.

    Gekhman et al. 2024 (arXiv 2405.05904, section 3): 10 prompts of 4 shots, a greedy answer and
    16 samples at temperature 0.5 and top-k 40 behind each. The same call again skips what is
    done; a killed probe goes on at its first missing chunk.

    Args:
        lm: the model, with or without an adapter attached.
        facts: what is asked; ids must differ.
        out: folder of the results.
        settings: `ProbeSettings`; the recommended ones when None.
        pool: where exemplars come from; ``facts`` when None.
        prompts: the exemplars themselves, such as those of an earlier probe; they win over pool.
        adapter_tag: names the adapter that is attached, for example the hash of its file, since
            the model's fingerprint does not know of it.
        generate: the engine; `lorepack.llm.generate` when None.
        progress: called with questions done and questions in all (facts × prompts).
        notes: remarks to keep in ``probe.json``, such as what was set aside in reading the facts.
        overwrite: replace the finished probe of other inputs that ``out`` holds.

    Returns:
        The categories; their folder holds ``probe.json``, ``categories.parquet``,
        ``answers.parquet``, ``prompts.json``, ``timing.json`` and ``manifest.json``; with
        ``settings.controls`` also ``controls.parquet`` and ``luck.parquet``.

    Raises:
        InputError: no facts, or an id given twice.
            ``out`` holds files of something else.
        MismatchError: ``out`` holds the finished probe of other inputs, or another process
            writes to it.
    """
    settings = settings or ProbeSettings()
    facts = facts if isinstance(facts, list | tuple) else list(facts)
    _check(facts)
    prompts = prompts or choose_for(facts, pool, settings)
    asked = controls.make(facts, settings.controls, settings.seed)
    inputs = _describe(lm, facts, prompts, settings, adapter_tag, asked)
    job = _Job(
        lm, facts, prompts, settings, Path(out), inputs, generate, progress, tuple(notes), asked
    )
    with folders.alone(job.out):
        if not files.is_complete(job.out, job.inputs_hash):
            held = lambda: f"a finished probe of {_difference(job)}"  # noqa: E731
            files.make_room(job.out, job.inputs_hash, held, overwrite=overwrite)
            job.finish(job.run())
        shutil.rmtree(job.out / "chunks", ignore_errors=True)
    if progress is not None:
        progress(job.total, job.total)
    return ProbeResult.load(out)


@dataclass
class _Job:
    """One probe at work."""

    lm: LanguageModel
    facts: Sequence[Fact]
    prompts: Prompts
    settings: ProbeSettings
    out: Path
    inputs: dict[str, Any]
    generate: Generate | None
    progress: Progress | None
    notes: tuple[str, ...] = ()
    controls: Controls = field(default_factory=Controls)
    seconds: float = 0.0
    resumed: int = 0
    chunks: list[Path] = field(default_factory=list)

    @property
    def inputs_hash(self) -> str:
        return files.hash_of(self.inputs)

    @property
    def total(self) -> int:
        return (len(self.facts) + len(self.controls)) * len(self.prompts)

    def run(self) -> Tally:
        """Ask chunk by chunk; what is on disk already is not asked again."""
        parts = []
        for number, part in enumerate(self.cut(self.facts)):
            path = self._chunk("", number, part)
            self.chunks.append(path)
            for answers in store.read_answers(path):
                parts.append(tally(part[: len(answers)], answers, *self._counting()))
                part = part[len(answers) :]
        return Tally.joined(parts)

    def ask_controls(self) -> list[floor.Asked]:
        """Ask the control questions, in chunks of their own."""
        asked: list[floor.Asked] = []
        for number, part in enumerate(self.cut(self.controls.questions)):
            for answers in store.read_answers(self._chunk("controls-", number, part)):
                asked += _asked(part, answers, self.settings.lexicon)
                part = part[len(answers) :]
        return asked

    def cut(self, facts: Sequence[Fact]) -> Iterator[Sequence[Fact]]:
        """Facts (or controls), a chunk at a time."""
        size = self.settings.chunk
        return (facts[i : i + size] for i in range(0, len(facts), size))

    def _counting(self) -> tuple[str, int, Lexicon]:
        return self.settings.rule, self.settings.samples, self.settings.lexicon

    def _chunk(self, kind: str, number: int, part: Sequence[Fact]) -> Path:
        """One chunk of the facts (or, by ``kind``, the controls): its file, asked or found."""
        path, start = self.path(number, kind), number * self.settings.chunk
        if (seconds := self.kept(number, len(part), kind)) is not None:
            self.seconds += seconds
            self.resumed += 1
            return path
        base = (start + (len(self.facts) if kind else 0)) * len(self.prompts)
        show = self.progress
        inner = None if show is None else lambda done, _: show(base + done, self.total)
        began = time.monotonic()
        answers = collect(self.lm, part, self.prompts, self.settings, self.generate, inner)
        seconds = round(time.monotonic() - began, 3)
        self.keep(number, answers, seconds, kind)
        self.seconds += seconds
        return path

    def path(self, number: int, kind: str = "") -> Path:
        """Where a chunk is kept until the probe is finished."""
        return self.out / "chunks" / f"{kind}{number:06d}.parquet"

    def kept(self, number: int, facts: int, kind: str = "") -> float | None:
        """The seconds that a chunk took which is on disk already; None where it is not."""
        found = store.read_chunk(self.path(number, kind))
        mark = self._mark(number, kind)
        if found is None or found[0] != mark | {"seconds": found[0].get("seconds")}:
            return None
        assert found[1] == facts
        return float(found[0]["seconds"])

    def keep(self, number: int, answers: Answers, seconds: float, kind: str = "") -> None:
        """Write a finished chunk."""
        mark = self._mark(number, kind) | {"seconds": seconds}
        store.write_chunk(self.path(number, kind), answers, mark)

    def _mark(self, number: int, kind: str) -> dict[str, Any]:
        mark = {"inputs": self.inputs_hash, "chunk": self.settings.chunk, "number": number}
        return {**mark, "kind": kind} if kind else mark

    def finish(self, counts: Tally) -> None:
        """Merge the chunks and write everything else, the manifest last."""
        codes = label(counts.k_greedy, counts.n_greedy, counts.k_sampled)
        ids = [fact.id for fact in self.facts]
        store.merge_chunks(self.chunks, self.out / "answers.parquet")
        store.write_labels(self.out / "categories.parquet", ids, codes.tolist(), counts)
        files.write_json(self.out / "prompts.json", self.prompts.to_json())
        overlong = self._overlong()
        notes = [*self.notes, *self.prompts.notes]
        if overlong["questions"]:
            notes.append(
                f"{overlong['questions']} of {len(ids) * len(self.prompts)} questions did not fit "
                f"the context of {self.lm.context} tokens and count as wrong"
            )
        document = {
            "schema": 1,
            "facts": len(ids),
            "inputs": self.inputs,
            "categories": count(codes),
            "refusals": {
                "lexicon": self.settings.lexicon.sha256,
                "answers": int(counts.refused.sum()),
                "facts": int((2 * counts.refused > counts.n_greedy).sum()),
            },
            "overlong": overlong,
            "controls": self._floor(codes),
            "notes": notes + self._left_out(),
        }
        files.write_json(self.out / "probe.json", document)
        files.write_json(self.out / "timing.json", {"probe": self._timing()})
        written = WRITTEN + (WITH_CONTROLS if self.settings.controls else ())
        files.write_manifest(self.out, self.inputs_hash, written)

    def _floor(self, codes: NDArray[np.int8]) -> dict[str, Any] | None:
        """Ask the controls and say what the floor is; writes what it is made of."""
        if not self.settings.controls:
            return None
        asked = self.ask_controls()
        how = self.settings
        found = floor.measure(
            self.facts, codes, asked, rule=how.rule, samples=how.samples, seed=how.seed,
            left_out=self.controls.left_out,
        )  # fmt: skip
        questions = [fact.question for fact in self.controls.questions]
        store.write_controls(self.out / "controls.parquet", questions, asked)
        store.write_luck(self.out / "luck.parquet", found.luck)
        return found.document

    def _left_out(self) -> list[str]:
        """A note on relations without control questions."""
        names = list(self.controls.left_out)
        if not names:
            return []
        return [
            f"no guess floor for {len(names)} relations (named in probe.json), first {names[0]}: "
            f"{self.controls.left_out[names[0]]}"
        ]

    def _overlong(self) -> dict[str, Any]:
        """Questions that did not fit the context, counted and named."""
        found = {
            name: sum(text is None for text in greedy)
            for answers in store.read_answers(self.out / "answers.parquet")
            for name, greedy in zip(answers.ids, answers.greedy, strict=True)
            if None in greedy
        }
        named = dict(list(found.items())[:NAMED])
        return {"facts": len(found), "questions": sum(found.values()), "prompts_by_id": named}

    def _timing(self) -> dict[str, Any]:
        answers = self.total * (1 + self.settings.samples)
        return {
            "seconds": round(self.seconds, 3),
            "answers": answers,
            "answers_per_second": round(answers / max(self.seconds, 1e-9), 1),
            "chunk": self.settings.chunk,
            "chunks_resumed": self.resumed,
            "model": self.lm.name,
            "device": str(self.lm.device),
        }


def _asked(questions: Sequence[Fact], answers: Answers, lexicon: Lexicon) -> Iterator[floor.Asked]:
    """The answers to the first of some control questions, as the floor is measured from them."""
    for fact, greedy, sampled in zip(questions, answers.greedy, answers.sampled, strict=False):
        refused = sum(text is not None and is_refusal(text, lexicon=lexicon) for text in greedy)
        yield floor.Asked(controls.relation_of(fact), greedy, sampled, refused)


def _check(facts: Sequence[Fact]) -> None:
    if not facts:
        raise InputError("no facts to probe; the list is empty")
    seen: set[str] = set()
    for fact in facts:
        if fact.id in seen:
            raise InputError(
                f"fact {fact.id} given twice ({fact.question!r}); ids must differ: "
                "`lorepack facts check` lists duplicates"
            )
        seen.add(fact.id)


def facts_hash(facts: Sequence[Fact]) -> str:
    """Hash of what a probe uses of its facts, in order."""
    digest = hashlib.sha256()
    for fact in facts:
        row = [fact.id, fact.question, fact.accepted, fact.paraphrases, fact.relation]
        digest.update(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def _describe(
    lm: LanguageModel,
    facts: Sequence[Fact],
    prompts: Prompts,
    settings: ProbeSettings,
    adapter_tag: str,
    asked: Controls,
) -> dict[str, Any]:
    """Everything that decides the results."""
    # The fingerprint is of weights alone; another tokenizer or template asks other tokens.
    chat = lm.chat.prompt_ids(QUESTION.format(q=facts[0].question), (), settings.system)
    described = {
        "model": lm.fingerprint,
        "chat": files.hash_of(list(chat)),
        "dtype": str(lm.dtype).removeprefix("torch."),
        "adapter": adapter_tag,
        "facts": facts_hash(facts),
        "prompts": files.hash_of(prompts.to_json()),
        "settings": settings.deciding(),
    }
    if len(asked):
        described["controls"] = files.hash_of([fact.question for fact in asked.questions])
    return described


def _difference(job: _Job) -> str:
    try:
        old = files.read_json(job.out / "probe.json")["inputs"]
    except (InputError, OSError, KeyError, TypeError):
        return "other inputs"
    parts = [k for k in sorted(job.inputs) if k != "settings" and old.get(k) != job.inputs[k]]
    then, now = old.get("settings", {}), job.inputs["settings"]
    parts += [
        f"{k} ({then.get(k)!r} there, {now[k]!r} asked)" for k in now if then.get(k) != now[k]
    ]
    return f"other inputs: {', '.join(parts)}" if parts else "other inputs"
