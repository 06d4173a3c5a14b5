"""``dbpedia``: the mapping-based object relations, balanced over popularity and relations."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorepack.errors import InputError
from lorepack.facts.dbpedia import labels
from lorepack.facts.dbpedia.dump import Dump, read_dump
from lorepack.facts.dbpedia.extras import aliases_of, domains_of
from lorepack.facts.dbpedia.selection import BUCKETS, Selection, select
from lorepack.facts.fact import Fact
from lorepack.facts.importing.format import Bulk, Format, Item, Options, Where
from lorepack.facts.importing.templates import wordings_of
from lorepack.facts.rows import RowError

if TYPE_CHECKING:
    from lorepack.facts.dbpedia.lookup import Found


@dataclass(frozen=True)
class Candidate:
    """A triple in words."""

    relation: str
    subject: str
    answer: str
    answer_iri: str
    bucket: str = ""
    popularity: int = 0
    domain: str | None = None
    aliases: tuple[str, ...] = ()

    @classmethod
    def of(cls, relation: str, subject_iri: str, answer_iri: str) -> Candidate | str:
        """A triple in words, or the reason (of `labels.REASONS`) why it makes no good fact."""
        inside = answer_iri.startswith(labels.RESOURCE)
        if not inside and relation not in labels.ADDRESSED:
            return "web_address"
        subject = labels.label(subject_iri)
        answer = labels.label(answer_iri) if inside else answer_iri
        if subject is None or not answer:
            return "no_label"
        why = labels.why_not(relation, subject, answer)
        return why or cls(relation, subject, answer, answer_iri)

    def called(self, names: Iterable[str]) -> Candidate:
        """The same with more names of its answer."""
        return replace(self, aliases=tuple(dict.fromkeys((*self.aliases, *names))))


@dataclass(frozen=True)
class DBpedia:
    """The pipeline of knowledge packing (arXiv 2502.14502, section 3.1) on a dump of any size."""

    name: str = "dbpedia"
    about: str = "DBpedia's mapping-based object relations (.ttl, .nt; .bz2, .gz, .xz, .zst)"
    takes: frozenset[str] = frozenset(
        {"templates", "ontology", "aliases", "seed", "per_relation"}
        | {f"alias_{name}" for name in ("endpoint", "language", "rate", "batch", "cache")}
    )
    yields: str = "facts"

    def fits(self, path: Path, head: bytes) -> bool:
        """Whether most of the first lines relate DBpedia's resources by its ontology."""
        lines = [x for x in head.split(b"\n")[:-1] if x.strip() and not x.startswith(b"#")][:100]
        resource, ontology = f"<{labels.RESOURCE}".encode(), f"> <{labels.ONTOLOGY}".encode()
        fitting = sum(x.startswith(resource) and ontology in x for x in lines)
        return bool(lines) and fitting > 0.9 * len(lines)

    def rows(self, path: Path, options: Options) -> Iterator[tuple[Where, Any]]:
        """The counts of the whole dump, its broken lines, then the chosen triples, shuffled."""
        dump = read_dump(path)
        names = {iri: labels.relation_name(iri) for iri in dump.relation_names}
        asked = {
            iri
            for iri, name in names.items()
            if name not in labels.LEFT_OUT and wordings_of(name, options.templates)
        }
        chosen = select(dump, asked)
        counts = Counter({**dump.counts, **chosen.counts})
        kept = _Choice(dump, chosen, names, options, counts).draw()
        kept = _told(kept, options, dump, names)
        beyond = counts.pop("malformed", 0) - len(dump.broken_lines)
        yield Where(path, 0), Bulk(dump.lines, counts, {"malformed": beyond} if beyond else {})
        for line, text in dump.broken_lines:
            yield Where(path, line), RowError("malformed", f"no triple: {text!r}")
        found = _looked_up(kept, options)
        if found:
            yield Where(path, 0), Bulk(0, _counted(found))
            kept = [one.called(found.names.get(one.answer_iri, ())) for one in kept]
        for one in kept:
            yield Where(path, 0), one
        broken = [why for why in (dump.broken, found and found.broken) if why]
        if broken:
            raise InputError("; ".join(broken))

    def items(self, raw: Candidate, options: Options) -> Iterable[Item]:
        """The fact of a triple."""
        wordings = [
            labels.question(wording, raw.subject)
            for wording in wordings_of(raw.relation, options.templates)
        ]
        if raw.answer.casefold() in wordings[0].casefold():
            raise RowError("answer_in_question", f"{raw.answer!r} stands in {wordings[0]!r}")
        yield Fact(
            question=wordings[0],
            answer=raw.answer,
            aliases=tuple(a for a in raw.aliases if a != raw.answer),
            paraphrases=tuple(dict.fromkeys(wordings[1:])),
            subject=raw.subject,
            relation=raw.relation,
            object=raw.answer,
            domain=raw.domain,
            popularity=float(raw.popularity),
            source="dbpedia",
            split=raw.bucket,
        )


@dataclass
class _Choice:
    """Drawing facts from the candidates: as many of each relation from every bucket."""

    dump: Dump
    chosen: Selection
    names: dict[str, str]
    options: Options
    counts: Counter[str]

    def draw(self) -> list[Candidate]:
        """The fewest that any bucket has, and at most the cap; shuffled.

        Candidates are tried in random order until the cap is reached, so a dump of any size
        costs a few tens of labels for each relation and bucket.
        """
        kept: list[Candidate] = []
        for relation in sorted(range(len(self.dump.relation_names)), key=self._name):
            rows = [
                self._usable(relation, bucket, triples)
                for bucket, triples in zip(BUCKETS, self.chosen.of(relation), strict=True)
            ]
            size = min(map(len, rows)) if self.options.per_relation else None
            for row in rows:
                kept += row[:size]
        passed = len(self.chosen.triples) - len(kept)
        self.counts["balanced_out"] += passed - sum(self.counts[why] for why in labels.REASONS)
        random.Random(f"dbpedia/{self.options.seed}").shuffle(kept)
        return kept

    def _name(self, relation: int) -> str:
        return self.names[self.dump.relation_names[relation]]

    def _usable(self, relation: int, bucket: str, triples: Any) -> list[Candidate]:
        found: list[Candidate] = []
        name = self._name(relation)
        for place in shuffled(len(triples), f"{self.options.seed}/{name}/{bucket}"):
            if len(found) == (self.options.per_relation or len(triples)):
                break
            triple = triples[place]
            subject, answer = self.dump.subjects[triple], self.dump.objects[triple]
            told = Candidate.of(name, self.dump.name(subject), self.dump.name(answer))
            if isinstance(told, str):
                self.counts[told] += 1
            else:
                popularity = int(self.chosen.popularity[subject])
                found.append(replace(told, bucket=bucket, popularity=popularity))
        return found


def shuffled(size: int, seed: str) -> Iterator[int]:
    """The numbers below ``size`` in an order that the seed decides, drawn as they are asked for."""
    draw, moved = random.Random(f"dbpedia/{seed}"), dict[int, int]()
    for place in range(size):  # Fisher and Yates, remembering only what was moved
        other = draw.randrange(place, size)
        moved_here = moved.pop(place, place)
        if other == place:
            yield moved_here
        else:
            yield moved.get(other, other)
            moved[other] = moved_here


def _told(
    kept: list[Candidate], options: Options, dump: Dump, names: dict[str, str]
) -> list[Candidate]:
    """Aliases and domains, where files of them were given."""
    if not (options.aliases or options.ontology):
        return kept
    aliases = aliases_of({one.answer_iri for one in kept}, options.aliases)
    by_iri = domains_of(options.ontology) if options.ontology else {}
    domains = {names[iri]: by_iri[iri] for iri in dump.relation_names if iri in by_iri}
    return [
        replace(
            one,
            domain=domains.get(one.relation),
            aliases=tuple(aliases.get(one.answer_iri, ())),
        )
        for one in kept
    ]


def _looked_up(kept: list[Candidate], options: Options) -> Found | None:
    """Names from an endpoint, where one was given."""
    if options.alias_endpoint is None:
        return None
    from lorepack.facts.dbpedia.lookup import Endpoint, look_up

    endpoint = Endpoint(
        options.alias_endpoint,
        options.alias_cache or Path("aliases.sqlite"),
        rate=options.alias_rate,
        batch=options.alias_batch,
        language=options.alias_language,
    )
    entities = {one.answer_iri for one in kept if one.answer_iri.startswith(labels.RESOURCE)}
    return look_up(entities, endpoint)


def _counted(found: Found) -> dict[str, int]:
    return {
        "entities_with_aliases": len(found.names),
        "entities_not_looked_up": found.missing,
    }


FORMATS: dict[str, Format] = {"dbpedia": DBpedia()}
