"""How questions are put: whether they ask at all, name their source, or give themselves away."""

from __future__ import annotations

import re

from lorepack.facts.documents.tokens import listed
from lorepack.synthesis.words import ASKING, DEMANDING, STOP, told
from lorepack.text import matches, normalise

_MARK = re.compile("[?？؟\u037e՞⸮]|_{2,}|…{2,}|\\.{4,}")
_CLAUSE = re.compile(r"(?:^|[,:;.!\])]\s|\n)\W*([^\W\d_]+)")
_WISH = re.compile(r"\b(?:like|want|need|love|curious|wonder\w*)\b", re.IGNORECASE)
_LATIN = re.compile("[A-Za-z]")
_ENGLISH = listed("the of is are were and with that from has had this its")
"""words by which a question is known to be English, so that the rules for it hold"""

_ADJECTIVE = (
    r"(?:(?:above|given|provided|preceding|previous|present|current|following|same|original)\s+)?"
)
_SOURCE = (
    r"(?:passage|text|excerpt|extract|snippet|paragraph|article|document|paper|essay|chapter"
    r"|introduction|context|stud(?:y|ies)|survey|narrat(?:ive|or)|authors?|writers?|researchers?)"
)
_MAKERS = r"(?:paper|article|essay|stud(?:y|ies)|survey|work|authors?|writers?|researchers?)"
_REPORTS = (
    r"(?:say|state|mention|describe|propose|discuss|introduce|suggest|claim|argue|report|explain"
    r"|present|cite|refer|define|show|note|conclude|imply|indicate|identify|use|find|give|list"
    r"|highlight|emphasi[sz]e|address|aim|seek|compare|provide|offer|cover|focus|contribute"
    r"|consider|believe|think|view|point|call|make|demonstrate|observe|warn|frame|evaluate|test"
    r"|analy[sz]e|investigate|examine|outline|characteri[sz]e|question|stress|criti[cq])"
)
_NAMING = ("of", "titled", "entitled", "called", "named", "known", "by", "on", "about")
_FUNCTION = "|".join(
    sorted((STOP | {"regarding", "concerning"}) - set(_NAMING) - {"s", "t", "d", "m"})
)
# Behind such a word: the end, a sign, a verb that reports, or a word without content. A noun
# would make it something else (the text encoder), and "of" or a title names what is meant.
_NAMED = rf"\s+(?:{'|'.join(_NAMING)})\b|\s*[\"“«‘]|\s+[A-Z\d]"
_BEHIND = rf"\s*$|\s*[?.,;:!)]|['’]s?\s|\s+(?:{_REPORTS}|(?:{_FUNCTION})\b)"
_PLACE = r"(?i:sections?|figures?|fig\.|tables?|equations?|eq\.|appendix)\s+\(?\d{1,2}+(?:\.\d+)*+"
_ITS_SOURCE = re.compile(
    rf"\b(?i:the|this|these)\s+(?i:{_ADJECTIVE}{_SOURCE})\b(?!{_NAMED})(?={_BEHIND})"
    # Behind "does the paper" stands a verb, whatever it is.
    rf"|\b(?i:do|does|did|can|could|will|would)\s+(?i:the|this|these)\s+(?i:{_ADJECTIVE}{_MAKERS})"
    rf"\s+(?!{'|'.join(_NAMING)}\b)(?=[a-z])"
    # And of people and papers something is told by any verb.
    r"|\b(?i:the|these)\s+(?i:authors|researchers|writers)\s+(?!of\b|by\b)(?=[a-z])"
    r"|\b(?i:the|this)\s+(?i:paper|article|study|survey)\s+(?=[a-z]+(?:[^s]s|ed)\b)"
    r"|\b(?i:(?:in|of|by)\s+the\s+work)(?=\s*[?.,;:!]|\s*$|\s+as\b)"
    r"|\b(?i:this\s+(?:work|research|analysis|book))\b"
    rf"|\b{_PLACE}\b(?!\s+of\b)"
    r"|\b(?i:(?:mentioned|described|listed|given|discussed|cited|stated)\s+(?:above|below))\b"
)
_CHOICE = re.compile(r"\b(?:or|either|which of|oder|ou)\b|\([a-d]\)", re.IGNORECASE)
_PLAIN = frozenset({"yes", "no", "true", "false", "neither", "both", "none"})


def asks(question: str) -> bool:
    """Whether a question asks or demands something.

    A question mark or a blank to fill is enough; else one of its clauses opens with an English
    word that asks or demands. What is not English, or has no letters of it, is taken at its word.
    """
    if _MARK.search(question) or not _LATIN.search(question):
        return True
    openers = {found[1].lower() for found in _CLAUSE.finditer(question)}
    if openers & (ASKING | DEMANDING):
        return True
    if "i" in openers and _WISH.search(question):  # I would like to know where …
        return True
    return _ENGLISH.isdisjoint(question.lower().split())


def points_at_source(question: str, title: str | None = None) -> str | None:
    """The words by which a question points at its source without naming it.

    Args:
        question: such as "What does the author propose?".
        title: of the source; a question that holds most of it names it.

    Returns:
        The words, or None where there are none.
    """
    found = _ITS_SOURCE.search(question)
    if found is None:
        return None
    if title:
        named, asked = told(title).content, told(question).content
        if named and sum(root in asked for root in named) >= 0.6 * len(named):
            return None
    return found[0].strip()


def gives_away(question: str, answer: str) -> bool:
    """Whether a question holds its answer as whole words; yes, no and choices are no fault."""
    form = normalise(answer)
    if not form or form in _PLAIN or _CHOICE.search(question):
        return False
    return matches(question, [answer])
