"""The mix: which facts one adapter is trained on, and in which words.

Unknown facts to learn, HighlyKnown facts that remind the model of what it knows, and other
wordings of the Unknown facts (arXiv 2502.14502, section 4). Sizes are exact: N Unknown facts with
K known facts and P paraphrases each make N·(1 + K + P) examples, or an error says what is short.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from lorepack import files
from lorepack.errors import InputError, suggest
from lorepack.facts import Fact, over_represented
from lorepack.packing.wordings import different_wordings, split_wordings
from lorepack.text import normalise

LUCKY = 0.05
"""luck from which on a HighlyKnown fact is known by luck and reminds of nothing"""
SELECTIONS = ("stratified", "positional")
Kind = Literal["unknown", "known", "paraphrase"]


class Categories(Protocol):
    """What is needed of a probe: the category of every fact."""

    def category_of(self, fact_id: str, /) -> str:
        """One of HighlyKnown, MaybeKnown, WeaklyKnown and Unknown."""
        ...

    # Where controls were asked a probe also has ``luck``, by fact id (`lorepack.probing.floor`).


@dataclass(frozen=True, slots=True)
class MixExample:
    """One question with its answer, as it is trained."""

    fact_id: str
    kind: Kind
    question: str
    answer: str


@dataclass(frozen=True)
class Mix:
    """The training data of one adapter."""

    examples: tuple[MixExample, ...]
    """every Unknown fact followed by its paraphrases, then the known facts; in file order"""
    trained: tuple[str, ...]
    """ids of the Unknown facts, in file order"""
    known: tuple[str, ...]
    """ids of the HighlyKnown facts, in file order"""
    heldout: dict[str, tuple[str, ...]]
    """for every trained fact that has any: wordings that were not trained, for generality"""
    settings: dict[str, Any]
    """what was asked for, seed included"""
    warnings: tuple[str, ...] = ()
    lucky: int = 0
    """HighlyKnown facts that were left out, as known by luck"""

    def to_rows(self) -> list[dict[str, str]]:
        """The examples as JSON objects."""
        return [asdict(example) for example in self.examples]

    def manifest(self) -> dict[str, Any]:
        """Counts, ids, settings and hashes; equal mixes give equal manifests."""
        kinds = Counter(example.kind for example in self.examples)
        return {
            "schema": 1,
            "settings": self.settings,
            "counts": {
                "examples": len(self.examples),
                "unknown": kinds["unknown"],
                "known": kinds["known"],
                "paraphrase": kinds["paraphrase"],
                "heldout": sum(map(len, self.heldout.values())),
                "lucky": self.lucky,
            },
            "trained": list(self.trained),
            "known": list(self.known),
            "hashes": {
                "examples": files.hash_of(self.to_rows()),
                "heldout": files.hash_of({k: list(v) for k, v in self.heldout.items()}),
            },
            "warnings": list(self.warnings),
        }


def compose(
    facts: Sequence[Fact],
    probe: Categories,
    *,
    unknown: int | Literal["all"],
    known: int = 0,
    paraphrases: int = 0,
    heldout: int = 4,
    seed: int = 0,
    answer_cap: float | None = None,
    selection: str = "stratified",
    exclude_ids: Collection[str] = (),
    allow_lucky: bool = False,
) -> Mix:
    """Choose the training data of one adapter.

    The Unknown facts depend on the seed and on what is asked of them, not on ``known``, and a
    fact's held-out wordings do not depend on ``paraphrases``: mixes of a grid can be compared.

    Args:
        facts: all facts; their order is that of the mix.
        probe: the category of each. WeaklyKnown is not Unknown.
        unknown: N, how many Unknown facts; ``"all"`` takes each one that fits.
        known: K, HighlyKnown facts for each Unknown one; K·N different facts.
        paraphrases: P, other wordings trained with each Unknown fact.
        heldout: wordings kept from training for each Unknown fact, where there are as many; with
            ``paraphrases`` at least one is, unless this is 0.
        seed: decides every draw.
        answer_cap: largest share of the Unknown facts with the same answer, in (0, 1]; facts of
            more common answers are passed over.
        selection: ``stratified`` draws by relation and popularity, in proportion;
            ``positional`` takes the first in file order, as the paper's code does.
        exclude_ids: facts that must not be in the mix.
        allow_lucky: whether HighlyKnown facts of a luck of `LUCKY` or more may be in the mix;
            nothing is known of luck where the probe asked no controls.

    Returns:
        The mix, the same for the same arguments.

    Raises:
        InputError: too few facts or wordings, with the numbers; a number out of its range.
    """
    settings = {
        "unknown": unknown,
        "known": known,
        "paraphrases": paraphrases,
        "heldout": heldout,
        "seed": seed,
        "answer_cap": answer_cap,
        "selection": selection,
        "excluded": len(set(exclude_ids)),
        "allow_lucky": allow_lucky,
    }
    _check(unknown, answer_cap, selection, known=known, paraphrases=paraphrases, heldout=heldout)
    by_category = _by_category(facts, probe, frozenset(exclude_ids))
    choose = _chooser(facts, seed, selection)
    warnings: list[str] = []
    trained = _unknown(by_category["Unknown"], settings, choose, warnings)
    offered, lucky = _not_by_luck(by_category["HighlyKnown"], probe, allow_lucky)
    if lucky and known:
        warnings.append(
            f"{lucky:,} of {lucky + len(offered):,} HighlyKnown facts passed over: a guess would "
            "have been counted, too (allow_lucky takes them)"
        )
    reminders = _known(offered, known, len(trained), choose, lucky)
    trained_words, untrained_words = {}, {}
    for fact in trained:
        trained_words[fact.id], untrained = split_wordings(fact, settings)
        if untrained:
            untrained_words[fact.id] = untrained
    warnings += _common_answers(trained)
    return Mix(
        examples=tuple(_examples(trained, trained_words, reminders)),
        trained=tuple(fact.id for fact in trained),
        known=tuple(fact.id for fact in reminders),
        heldout=untrained_words,
        settings=settings,
        warnings=tuple(warnings),
        lucky=lucky,
    )


def _check(unknown: int | str, answer_cap: float | None, selection: str, **counts: int) -> None:
    if unknown != "all" and (not isinstance(unknown, int) or unknown < 1):
        raise InputError(f"unknown={unknown!r}: expected a number of at least 1, or 'all'")
    for name, count in counts.items():
        if count < 0:
            raise InputError(f"{name}={count}: expected 0 or more")
    if answer_cap is not None and not 0 < answer_cap <= 1:
        raise InputError(f"answer_cap={answer_cap}: expected a share above 0 and up to 1")
    if selection not in SELECTIONS:
        raise InputError(f"no selection {selection!r}{suggest(selection, SELECTIONS)}")


def _by_category(
    facts: Sequence[Fact], probe: Categories, excluded: frozenset[str]
) -> Mapping[str, list[Fact]]:
    found: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.id not in excluded:
            found[probe.category_of(fact.id)].append(fact)
    return found


Chooser = Callable[[Sequence[Fact], int, str], list[Fact]]
"""``choose(candidates, count, purpose)``: so many of the candidates, in their order"""


def _chooser(facts: Sequence[Fact], seed: int, selection: str) -> Chooser:
    if selection == "positional":
        return lambda candidates, count, _: list(candidates[:count])
    bucket_of = _buckets(facts)
    stratum = lambda fact: (fact.relation or "", bucket_of(fact.popularity))  # noqa: E731
    return lambda candidates, count, purpose: _stratified(
        candidates, count, stratum, random.Random(f"{seed}:{purpose}")
    )


def _buckets(facts: Sequence[Fact]) -> Callable[[float | None], str]:
    """Head, torso and tail: thirds of the facts by popularity; equal ones stay together."""
    ordered = sorted(fact.popularity for fact in facts if fact.popularity is not None)
    if not ordered:
        return lambda _: ""
    low, high = ordered[len(ordered) // 3], ordered[2 * len(ordered) // 3]

    def bucket(popularity: float | None) -> str:
        if popularity is None:
            return ""
        return "tail" if popularity < low else "torso" if popularity < high else "head"

    return bucket


def _stratified(
    candidates: Sequence[Fact],
    count: int,
    stratum: Callable[[Fact], tuple[str, str]],
    rng: random.Random,
) -> list[Fact]:
    """``count`` candidates, each stratum with its proportional share up to rounding."""
    strata: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, fact in enumerate(candidates):
        strata[stratum(fact)].append(place)
    chosen = []
    for name, seats in _seats({k: len(v) for k, v in strata.items()}, count).items():
        chosen += rng.sample(strata[name], seats)
    return [candidates[place] for place in sorted(chosen)]


def _seats(sizes: Mapping[tuple[str, str], int], count: int) -> dict[tuple[str, str], int]:
    """Divide ``count`` in proportion to sizes by largest remainders: each share up to rounding.

    Whole numbers throughout, so that the result is exact; ties go to the larger stratum, then to
    the first name.
    """
    total = sum(sizes.values())
    assert count <= total, "more asked than there are"
    seats = {name: count * size // total for name, size in sorted(sizes.items())}
    by_remainder = sorted(seats, key=lambda k: (-(count * sizes[k] % total), -sizes[k], k))
    for name in by_remainder[: count - sum(seats.values())]:
        seats[name] += 1
    return seats


def _unknown(
    candidates: Sequence[Fact], settings: Mapping[str, Any], choose: Chooser, warnings: list[str]
) -> list[Fact]:
    """The Unknown facts of the mix, in file order."""
    asked, cap, seed = settings["unknown"], settings["answer_cap"], settings["seed"]
    if not candidates:
        raise InputError("no Unknown facts: the model knows all of these facts to some degree")
    if asked != "all" and asked > len(candidates):
        raise InputError(f"asked {asked:,} Unknown facts, the model has {len(candidates):,}")
    worded = _with_wordings(candidates, settings)
    if len(worded) < len(candidates) and asked == "all":
        gone = len(candidates) - len(worded)
        warnings.append(f"{gone:,} Unknown facts passed over: too few wordings")
    count = len(worded) if asked == "all" else int(asked)
    if cap is not None:
        if settings["selection"] == "stratified":
            worded = _shuffled(worded, seed)
        total = len(worded)
        worded, count = _capped(worded, cap, count, exact=asked != "all")
        if asked == "all" and count < total:
            warnings.append(f"{total - count:,} Unknown facts passed over: answer cap {cap:g}")
        order = {fact.id: place for place, fact in enumerate(candidates)}
        worded.sort(key=lambda fact: order[fact.id])
    return choose(worded, count, "unknown")


def _shuffled(facts: Iterable[Fact], seed: int) -> list[Fact]:
    order = list(facts)
    random.Random(f"{seed}:cap").shuffle(order)
    return order


def _with_wordings(candidates: Sequence[Fact], settings: Mapping[str, Any]) -> list[Fact]:
    """The candidates with enough wordings to train and to hold out.

    Raises:
        InputError: fewer than asked have them.
    """
    trained = settings["paraphrases"]
    if not trained:
        return list(candidates)
    needed = trained + min(settings["heldout"], 1)
    counts = {fact.id: len(different_wordings(fact, 0)) for fact in candidates}
    enough = [fact for fact in candidates if counts[fact.id] >= needed]
    asked = 1 if settings["unknown"] == "all" else settings["unknown"]
    if len(enough) < asked:
        raise InputError(
            f"asked {settings['unknown']} Unknown facts with {needed} other wordings each "
            f"({trained} to train, {needed - trained} to hold out), {len(enough):,} of "
            f"{len(candidates):,} have as many (the most: {max(counts.values())}); "
            "ask for fewer paraphrases, or add some to the facts"
        )
    return enough


def _capped(
    candidates: Sequence[Fact], cap: float, count: int, exact: bool
) -> tuple[list[Fact], int]:
    """The candidates left when no answer may exceed its share, and how many to take of them.

    Args:
        candidates: in the order in which they are kept.
        cap: largest share of one answer in the mix.
        count: the size of the mix.
        exact: whether a smaller mix is an error; otherwise the largest possible one is made.
    """
    sizes = Counter(map(_answer, candidates)).values()
    size = count
    # A mix of n facts takes at most fit(n) of these candidates, and fit never falls as n grows:
    # going from n to fit(n) until nothing changes ends at the largest mix there is.
    while (fit := sum(min(one, _limit(cap, size)) for one in sizes)) < size:
        size = fit
    if exact and size < count:
        raise InputError(
            f"asked {count:,} Unknown facts, none of their answers above {cap:g} of them; of "
            f"{len(candidates):,} the largest such mix has {size:,}; raise answer_cap or ask fewer"
        )
    if not size:
        raise InputError(f"answer_cap={cap:g}: no mix of these facts keeps to it; raise the cap")
    limit = _limit(cap, size)
    taken: Counter[str] = Counter()
    kept = []
    for fact in candidates:
        taken[_answer(fact)] += 1
        if taken[_answer(fact)] <= limit:
            kept.append(fact)
    return kept, size


def _limit(cap: float, size: int) -> int:
    return int(cap * size + 1e-9)  # a cap of 0.1 allows 3 of 30, whatever binary makes of it


def _answer(fact: Fact) -> str:
    return normalise(fact.answer) or fact.answer


def _not_by_luck(
    candidates: Sequence[Fact], probe: Categories, allow: bool
) -> tuple[list[Fact], int]:
    """The candidates that are not known by luck, and how many are."""
    luck: Mapping[str, float] = getattr(probe, "luck", None) or {}
    if allow:
        return list(candidates), 0
    kept = [fact for fact in candidates if luck.get(fact.id, 0.0) < LUCKY]
    return kept, len(candidates) - len(kept)


def _known(
    candidates: Sequence[Fact], each: int, trained: int, choose: Chooser, lucky: int
) -> list[Fact]:
    """The HighlyKnown facts of the mix, in file order."""
    if each * trained > len(candidates):
        more = f", and {lucky:,} by luck alone (allow_lucky takes them)" if lucky else ""
        raise InputError(
            f"asked {each * trained:,} HighlyKnown facts ({each} for each of {trained:,} Unknown "
            f"ones), the model has {len(candidates):,}{more}; ask for fewer known or fewer "
            "unknown facts"
        )
    return choose(candidates, each * trained, "known") if each else []


def _examples(
    trained: Sequence[Fact], wordings: Mapping[str, Sequence[str]], known: Sequence[Fact]
) -> Iterable[MixExample]:
    for fact in trained:
        yield MixExample(fact.id, "unknown", fact.question, fact.answer)
        for wording in wordings[fact.id]:
            yield MixExample(fact.id, "paraphrase", wording, fact.answer)
    for fact in known:
        yield MixExample(fact.id, "known", fact.question, fact.answer)


def _common_answers(trained: Sequence[Fact]) -> list[str]:
    shown = {_answer(fact): fact.answer for fact in reversed(trained)}
    counts = Counter(map(_answer, trained))
    return [
        f"answer {shown[answer]!r} stands for {count:,} of {len(trained):,} Unknown facts in the "
        "mix; the adapter may give it to everything (set answer_cap)"
        for answer, count in over_represented(counts)
    ]
