"""The language of a text, by its script and its commonest words; None where it is in doubt."""

from __future__ import annotations

import re
from collections import Counter

_SAMPLE = 8_000
"""characters that are looked at in the beginning, the middle and the end"""
_LETTER = re.compile(r"[^\W\d_]")
_WORDS = re.compile(r"[^\W\d_]+")

_SCRIPTS = (  # a language that alone, or by far most often, is written in a script
    ("ja", "\u3040-\u30ff"),
    ("ko", "\uac00-\ud7af\u1100-\u11ff"),
    ("zh", "\u3400-\u9fff"),
    ("el", "\u0370-\u03ff"),
    ("he", "\u0590-\u05ff"),
    ("th", "\u0e00-\u0e7f"),
    ("hi", "\u0900-\u097f"),
)
_PATTERNS = [(name, re.compile(f"[{letters}]")) for name, letters in _SCRIPTS]

_COMMON = {
    "en": "the of and to in is was that for it with as his on be at by had not are but from which",
    "de": "der die und das ist nicht ein eine zu den mit von sich auf dem des im auch wie war",
    "fr": "le la les et des est une dans que qui pour pas du au sur par plus avec ce sont",
    "es": "el la los y las que una del por con para es su se lo como más pero fue sus",
    "it": "il di che la della e è per un una non sono del con gli alla si dei nel anche",
    "pt": "o os que e da do uma em para com não por mais dos se na no foi ao como",
    "nl": "de het een en van is dat niet op te zijn voor met aan er door maar ook bij naar",
    "sv": "och att det som en på är av för med till den har inte om ett var jag han sig",
    "da": "og at det som en på er af for med til den har ikke om et var jeg han sig",
    "no": "og å det som en på er av for med til den har ikke om et var jeg han seg",
    "fi": "ja on ei se että hän oli mutta kun niin ovat myös joka tai kuin sen olla ole mitä nyt",
    "pl": "i w nie się na z do to że jest jak po co tak ale o od za przez był",
    "cs": "a se v na je že s z do o i to jako za by ale pro jsou které byl",
    "tr": "ve bir bu da de için ile çok olarak daha gibi ne olan kadar en var sonra her ben mi",
    "ru": "и в не на что он с как это по но его к из за был она то все у",
    "uk": "і в не на що він з як це та до його але із за був вона у від для",
    "ar": "في من على إلى أن هذا التي الذي كان ما لا هو عن مع هذه كل بعد قد أو بين",
    "fa": "و در به از که این را با است برای آن یک خود تا بر هم نیز شد بود می",
}
_OF: dict[str, list[str]] = {}
for _name, _listed in _COMMON.items():
    for _word in _listed.split():
        _OF.setdefault(_word, []).append(_name)


def language_of(text: str) -> str | None:
    """The language of a text.

    Args:
        text: of any length; a few thousand characters are looked at.

    Returns:
        ISO 639-1; None for a short text, one in several languages, or one that is not known.
    """
    sample = _sample(text)
    letters = len(_LETTER.findall(sample))
    if letters < 20:
        return None
    for name, pattern in _PATTERNS:
        share = len(pattern.findall(sample)) / letters
        if share > (0.1 if name == "ja" else 0.5):  # Japanese is written with ideographs too
            return name
    words = [word.lower() for word in _WORDS.findall(sample)]
    counts = Counter(name for word in words for name in _OF.get(word, ()))
    best = counts.most_common(2)
    if len(words) < 12 or not best:
        return None
    (name, most), second = best[0], best[1][1] if len(best) > 1 else 0
    return name if most >= 0.12 * len(words) and most >= 1.2 * second else None


def _sample(text: str) -> str:
    if len(text) <= 3 * _SAMPLE:
        return text
    middle = (len(text) - _SAMPLE) // 2
    return " ".join((text[:_SAMPLE], text[middle : middle + _SAMPLE], text[-_SAMPLE:]))
