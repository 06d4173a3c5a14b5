"""Other wordings of questions, by rules that keep every name and number.

First come those that change the shape ("What is the X of Y?", "Name the X of Y."), then indirect
questions, and last the question as it stands behind an opening, which fits every question.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lorepack.facts import Fact
from lorepack.facts.documents.tokens import listed
from lorepack.facts.importing.templates import wordings_of
from lorepack.text import matches, normalise

_BE = "is|are|was|were"
_HAVE = f"{_BE}|has|have|had|can|could|will|would|should|must|may|might"
_WH = (
    r"(?P<wh>(?:(?:[Ii]n|[Oo]n|[Aa]t|[Bb]y|[Tt]o|[Ff]rom|[Oo]f|[Ff]or|[Ww]ith|[Uu]nder|[Ss]ince"
    r"|[Ii]nto|[Aa]s) )?"
    r"(?:[Ww]hat|[Ww]hich|[Ww]hose|[Ww]hom?|[Ww]here|[Ww]hen|[Ww]hy|[Hh]ow)"
)
_THE_OF = re.compile(
    rf"^(?P<wh>What|Who|Which) (?P<be>{_BE}) (?P<np>the (?P<x>[^?]+?) of (?P<y>[^?]+))$"
)
_OWNED = re.compile(
    rf"^(?P<wh>What|Who) (?P<be>{_BE}) (?P<np>(?P<y>[^?]+?)(?:['’]s|(?<=s)['’]) (?P<x>[^?]+))$"
)
_ASKS_AUX = re.compile(
    rf"^{_WH}(?: [a-z][\w-]*){{0,3}}?) (?P<aux>{_HAVE}|do|does|did) (?P<rest>.+)$"
)
_ASKS_VERB = re.compile(
    r"^(?P<wh>Who|What|(?:Which|How many) [\w-]+(?: [a-z][\w-]+)?) (?P<rest>(?!to )[a-z]+ .+)$"
)
_PHRASE = re.compile(r"\b(?:that|which|who|when|where|whose|if|because)\b|,")
_DONE = re.compile(
    r"[a-z]{2,}ed|born|built|made|held|written|won|found|sold|taken|given|led|lost|begun|known|set"
    r"|seen|called|put|cut|told|taught|drawn|sung|sent|shot|spoken|chosen|bought|brought|fought"
)
_AMID = re.compile(r"(?i:the|an?|its|his|her|their|this|that|these|those|of|in|on|by|for|to|\w+ly)")
"""words behind which a participle is an adjective: "of the proposed method" """
_PAST = dict(
    pair.split(":")
    for pair in listed(
        "be:was become:became begin:began belong:belonged break:broke bring:brought build:built"
        " buy:bought catch:caught choose:chose come:came die:died do:did draw:drew drive:drove"
        " fall:fell feel:felt fight:fought find:found fly:flew get:got give:gave go:went grow:grew"
        " have:had hear:heard hold:held keep:kept know:knew lead:led leave:left lie:lay lose:lost"
        " make:made marry:married meet:met pay:paid play:played put:put read:read rise:rose run:ran"
        " say:said see:saw sell:sold send:sent serve:served set:set show:showed sing:sang sit:sat"
        " speak:spoke spend:spent stand:stood study:studied take:took teach:taught tell:told"
        " think:thought win:won work:worked write:wrote live:lived learn:learned move:moved"
        " use:used found:founded start:started end:ended join:joined create:created direct:directed"
        " attend:attended appear:appeared follow:followed receive:received invent:invented"
    )
)
_PRESENT = {"have": "has", "do": "does", "go": "goes", "be": "is"}
_INDIRECT = (
    "Do you know {}?",
    "Tell me {}.",
    "Can you tell me {}?",
    "Could you say {}?",
    "I would like to know {}.",
    "Do you remember {}?",
    "Please tell me {}.",
    "Can you recall {}?",
)
_NAMING = (
    "Name {}.",
    "Tell me {}.",
    "Give {}.",
    "State {}.",
    "Can you name {}?",
    "Do you know {}?",
    "Please name {}.",
    "Could you give me {}?",
)
_OPENED = (
    "Tell me this: {}",
    "Can you answer this: {}",
    "Here is a question: {}",
    "I would like to know this: {}",
    "Please answer from memory: {}",
    "Do you know the answer to this: {}",
    "One more question: {}",
    "Could you help me with this: {}",
    "Answer the following: {}",
    "Somebody asked me this: {}",
    "Let me ask you this: {}",
    "Say what you know: {}",
)


def wordings(fact: Fact, n: int, earlier: tuple[str, ...] = ()) -> list[str]:
    """Up to ``n`` other wordings of a fact's question.

    Args:
        fact: its question, and subject, relation and answer where they are known.
        n: how many.
        earlier: wordings that exist already.
    """
    seen = {normalise(text) for text in (fact.question, *earlier)}
    kept: list[str] = []
    for wording in _all(fact):
        form = normalise(wording)
        if form and form not in seen and not _tells(fact, wording):
            seen.add(form)
            kept.append(wording)
            if len(kept) == n:
                break
    return kept


def _tells(fact: Fact, wording: str) -> bool:
    return matches(wording, fact.accepted) and not matches(fact.question, fact.accepted)


def _all(fact: Fact) -> Iterator[str]:
    question = " ".join(fact.question.split())
    yield from fact.paraphrases
    if fact.relation and fact.subject and fact.subject in question:
        for wording in wordings_of(fact.relation):
            yield wording.replace("{s}", fact.subject)
    bare = question.rstrip("?").rstrip()
    if question.endswith("?"):
        yield from _named(bare)
        if (indirect := as_clause(bare, fact.subject)) is not None:
            yield from (form.format(indirect) for form in _braced(_INDIRECT, indirect))
    for form in _OPENED:
        yield form.replace("{}", question)


def _braced(forms: tuple[str, ...], text: str) -> tuple[str, ...]:
    return forms if "{" not in text and "}" not in text else ()


def _named(bare: str) -> Iterator[str]:
    """Wordings of "What is the X of Y" and "What is Y's X"."""
    found = _THE_OF.match(bare) or _OWNED.match(bare)
    if not found or _PHRASE.search(found["np"]) or _ends_in_verb(found["np"]):
        return
    wh, be, x, y = found["wh"].lower(), found["be"], found["x"], found["y"]
    the = f"the {x} of {y}"
    for form in _braced(_NAMING, bare):
        yield form.format(the)
    yield f"What {be} the {x} of {y}?" if wh == "what" else f"Who {be} the {x} of {y}?"
    if " of " not in y and len(y.split()) <= 4 and not y.startswith(("the ", "a ", "an ")):
        yield f"{wh.capitalize()} {be} {y}'{'' if y.endswith('s') else 's'} {x}?"
    if wh != "which":
        yield f"The {x} of {y} {be} {'what' if wh == 'what' else 'who'}?"
    yield f"As for {y}: {wh} {be} the {x}?"


def _ends_in_verb(phrase: str) -> bool:
    """Whether a participle stands in it: "the treaty of Rome signed"."""
    return any(_DONE.fullmatch(word) for word in phrase.split()[1:])


def as_clause(bare: str, subject: str | None) -> str | None:
    """A question as the clause of an indirect one: "where Ada was born"; None where rules fail.

    Args:
        bare: the question without its mark.
        subject: what it is about, where that is known.
    """
    if found := _ASKS_AUX.match(bare):
        wh, aux, rest = _small(found["wh"]), found["aux"], found["rest"]
        split = _split(rest, subject, aux)
        if split is None:
            return None
        noun, behind = split
        if aux in ("do", "does", "did"):
            verb, _, behind = behind.partition(" ")
            if not verb.isalpha() or (told := _inflected(verb, aux)) is None:
                return None
            return f"{wh} {noun} {told}{' ' if behind else ''}{behind}"
        return f"{wh} {noun} {aux}{' ' if behind else ''}{behind}"
    if found := _ASKS_VERB.match(bare):
        return _small(bare)
    return None


def _split(rest: str, subject: str | None, aux: str) -> tuple[str, str] | None:
    """A question behind its auxiliary, as its noun and what follows."""
    for name in filter(None, (subject, f"the {subject}" if subject else None)):
        if rest == name:
            return rest, ""
        if rest.startswith(f"{name} "):
            return name, rest[len(name) + 1 :]
    if _PHRASE.search(rest):
        return None
    words = rest.split()
    if aux in _BE.split("|"):
        for place, word in enumerate(words[1:], 1):
            if _DONE.fullmatch(word) and not _AMID.fullmatch(words[place - 1]):
                return " ".join(words[:place]), " ".join(words[place:])
        return (rest, "") if rest.startswith("the ") and " of " in rest else None
    names = [place for place, word in enumerate(words) if word[0].isupper() or word[0].isdigit()]
    end = 0
    while end in names:
        end += 1
    return (" ".join(words[:end]), " ".join(words[end:])) if 0 < end < len(words) else None


def _inflected(verb: str, aux: str) -> str | None:
    if not verb.islower():
        return None
    if aux == "do":
        return verb
    if aux == "did":
        return _PAST.get(verb)
    if verb in _PRESENT:
        return _PRESENT[verb]
    if verb.endswith(("s", "sh", "ch", "x", "z")):
        return verb + "es"
    return verb[:-1] + "ies" if verb[-1:] == "y" and verb[-2:-1] not in "aeiou" else verb + "s"


def _small(text: str) -> str:
    return text[0].lower() + text[1:]
