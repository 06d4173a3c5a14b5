"""Questions that the rule-based writer asks of sentences: by clear patterns, or with a gap."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lorepack.facts.documents.tokens import listed
from lorepack.synthesis.writers.reading import NAME, Reading, Sentence, Span
from lorepack.text import matches, normalise

_DONE = (
    r"(?:[a-z]+ed|born|built|made|held|written|won|found|sold|taken|given|led|lost|begun|drawn"
    r"|chosen|brought|bought|sent|shot|sunk|told|taught|fought|struck|set|cut|put)"
)
_IS_A = re.compile(
    rf"^(?P<s>(?:The )?{NAME}) (?P<be>is|was|are|were) (?P<o>(?:an?|the|one of) .+)$"
)
_DONE_WHERE = re.compile(
    rf"^(?P<s>(?:The )?{NAME}) (?P<be>is|was|were|are) (?P<done>{_DONE})"
    rf"(?P<rest>(?: [a-z]+){{0,3}}?) (?P<how>in|on|at|by) (?P<o>\d{{4}}|{NAME})(?=[.,;]|$)"
)
_IN_YEAR = re.compile(rf"^In (?P<y>\d{{4}}),? (?P<s>(?:the )?{NAME}) (?P<did>[a-z]+ed\b.+)$")
_APPOSED = re.compile(rf"(?:^|, )(?P<s>{NAME}), (?P<o>(?:an?|the) [^,;]{{3,100}}), (?=[a-z])")
_SHORT = re.compile(r"\((?P<short>[A-Z][A-Za-z]{1,7})s?\)")
_VERBS = {
    verb + ending: verb
    for verb, ending in [
        (word, "es" if word.endswith(("s", "sh", "ch", "x")) else "s")
        for word in sorted(
            listed(
                "address allow combine contain describe achieve employ enable extend generate"
                " improve include integrate introduce involve leverage offer outperform provide"
                " replace represent support use require demand produce measure control govern"
            )
        )
    ]
}
_DOES = re.compile(
    rf"^(?P<s>(?:The |An? )?[^\W\d_][\w-]*(?: [\w-]+){{0,4}}) (?P<verb>{'|'.join(_VERBS)})"
    r" (?P<o>(?!(?:on|upon|from|to|with|by|in|for|that|how|and|or|when)\b)[^,;:]+)(?=[.,;:]|$)"
)
_STOPS = re.compile(r"[,;:—]| (?:which|who|whose|that|where|because|while|and) ")
_CLAUSE = re.compile(r"[,;:—] ")
_MOST_ANSWER = 18  # words
_MOST_SHOWN = 40  # words of a sentence with a gap
_SMALL = listed("of the a an and in for to on with by")


@dataclass(frozen=True)
class Asked:
    """A question with its answer and the sentence that it comes from.

    ``sort`` is ``fact``, ``meaning`` (what something is, means or does) or ``gap``.
    """

    question: str
    answer: str
    evidence: str
    sort: str


def by_pattern(told: Reading, sentence: Sentence) -> Iterator[Asked]:
    """Questions on a sentence that has one of the shapes known here; mostly none."""
    for short, long in _acronyms(sentence.plain):
        yield Asked(f"What does {short} stand for?", long, sentence.text, "meaning")
    if not sentence.stands_alone or sentence.plain[-1:] in "?!":
        return
    plain = sentence.plain.rstrip(".\"”’'")
    for question, answer, sort in _found(told, plain):
        words = answer.split()
        if 0 < len(words) <= _MOST_ANSWER and not matches(question, (answer,)):
            yield Asked(question, answer, sentence.text, sort)


def _found(told: Reading, plain: str) -> Iterator[tuple[str, str, str]]:
    if found := _DONE_WHERE.match(plain):
        yield _where(told, found), found["o"], "fact"
    elif found := _IN_YEAR.match(plain):
        did = _STOPS.split(found["did"])[0].strip()
        yield f"What did {found['s']} do in {found['y']}?", did, "fact"
    elif (found := _IS_A.match(plain)) and " of which" not in plain:
        subject = _subject(told, found["s"])
        be = found["be"]
        yield f"What {be} {subject}?", _upto(found["o"]), "meaning"
    elif found := _DOES.match(plain):
        subject = _subject(told, found["s"])
        if not re.search(r"\b(?:that|which|who|and|we|not)\b", subject):
            base = _VERBS[found["verb"]]
            yield f"What does {subject} {base}?", found["o"], "meaning"
    for found in _APPOSED.finditer(plain):
        yield f"Who or what is {found['s']}?", found["o"], "meaning"


def _where(told: Reading, found: re.Match[str]) -> str:
    done = f"{found['be']} {_subject(told, found['s'])} {found['done']}{found['rest']}"
    if found["o"].isdigit():
        return f"In which year {done}?" if found["how"] == "in" else f"When {done}?"
    return f"By whom {done}?" if found["how"] == "by" else f"Where {done}?"


def _subject(told: Reading, subject: str) -> str:
    """A subject as it stands within a sentence."""
    first = subject.split()[0]
    names = first.lower() not in told.lower and first not in ("The", "A", "An")
    return subject if names else subject[0].lower() + subject[1:]


def _upto(text: str) -> str:
    """A predicate up to where a further clause begins, or all of it when it is short."""
    return text if len(text.split()) <= 12 else _STOPS.split(text)[0].strip()


def _acronyms(plain: str) -> Iterator[tuple[str, str]]:
    for found in _SHORT.finditer(plain):
        letters = [char.lower() for char in found["short"] if char.isupper()]
        words = plain[: found.start()].split()
        if len(letters) < 2:
            continue
        for length in range(len(letters), len(letters) + 3):
            taken = words[-length:]
            parts = [p for word in taken for p in word.split("-") if p and p not in _SMALL]
            if len(taken) == length and [p[0].lower() for p in parts] == letters:
                yield found["short"], " ".join(taken).strip("“\"'‘")
                break


def with_gap(told: Reading, sentence: Sentence) -> Iterator[Asked]:
    """Questions for what is missing in a sentence: numbers, dates and names, then rare words."""
    if not (sentence.stands_alone or (told.title and sentence.is_whole)):
        return
    spans = sorted(told.told(sentence), key=lambda s: ("date", "number", "name").index(s.kind))
    for span in [*spans, *told.rare(sentence)]:
        shown = _shown(sentence.plain, span)
        where = f" in “{told.title}”" if told.title else ""
        question = f"Which {span.kind} is missing{where}? “{shown}”"
        if len(shown.split()) >= 6 and normalise(span.text) and not _given(question, span):
            yield Asked(question, span.text, sentence.text, "gap")


def _given(question: str, span: Span) -> bool:
    """Whether the rest of a question tells what is missing, or the longest word of it."""
    longest = max(span.text.split(), key=len)
    return matches(question, (span.text,)) or matches(question, (longest,))


def _shown(plain: str, span: Span) -> str:
    """A sentence with a gap; of a long one, the clauses around it."""
    begin, end = 0, len(plain)
    for border in _CLAUSE.finditer(plain):
        if len(plain[begin:end].split()) <= _MOST_SHOWN:
            break
        if border.end() <= span.start and len(plain[border.end() : span.start].split()) >= 8:
            begin = border.end()
        elif border.start() >= span.start + len(span.text) + 60:
            end = border.start()
    before, after = plain[begin : span.start], plain[span.start + len(span.text) : end]
    return f"{'… ' if begin else ''}{before}____{after}{' …' if end < len(plain) else ''}"
