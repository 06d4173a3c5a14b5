"""The language of a text: told where it is plain, and not where it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.facts.documents import language_of

TEXTS = {
    "en": "The bridge was built in the year of the flood, and it is still used by the people.",
    "de": "Die Brücke wurde im Jahr der Flut gebaut und ist auch für die Leute nicht zu breit.",
    "fr": "Le pont est dans la ville et les gens qui passent sur le pont sont plus de mille.",
    "es": "El puente fue construido por los hombres de la ciudad y es más largo que el otro.",
    "it": "Il ponte della città è più lungo di quello che gli uomini hanno fatto per la strada.",
    "pt": "A ponte não é mais longa do que as outras da cidade, mas foi feita por uma família.",
    "nl": "De brug van de stad is niet breed, maar het is een van de oudste die er zijn.",
    "sv": "Bron är inte bred, men den har varit i staden sedan det var krig och jag tycker om den.",
    "pl": "Most nie jest szeroki, ale to jak był w mieście od dawna i na nim się od lat tańczy.",
    "ru": "Мост в городе не был широк, но он стоит на реке и по нему как и раньше все ходят.",
    "ar": "كان الجسر في المدينة من هذه السنة التي لا ينسى الناس ما كان فيها على النهر.",
    "ja": "その橋は町の中にあり、今でも多くの人が毎日渡っている。",
    "zh": "这座桥在城市的中间，每天都有很多人从上面走过，河水很清。",
    "ko": "그 다리는 도시의 한가운데에 있으며 지금도 많은 사람들이 건넌다.",
    "el": "Η γέφυρα βρίσκεται στην πόλη και οι άνθρωποι την περνούν.",
    "he": "הגשר נמצא בעיר ואנשים רבים עוברים בו כל יום.",
}


@pytest.mark.parametrize("name", TEXTS)
def test_languages(name: str) -> None:
    assert language_of(TEXTS[name]) == name


@pytest.mark.parametrize(
    "text",
    ["", "Paris", "1 2 3 4 5 6 7 8 9 10 11 12 13 14", "Ida Voss, Bo Lund, Ulm, Var, Toulon " * 5,
     f"{TEXTS['en']} {TEXTS['fr']} {TEXTS['de']} {TEXTS['es']}"],
)  # fmt: skip
def test_none_where_it_is_in_doubt(text: str) -> None:
    assert language_of(text) is None


def test_a_long_text_is_looked_at_in_three_places() -> None:
    text = "x y z. " * 5_000 + f"{TEXTS['en']} " * 2_000
    assert language_of(text) == "en"


@given(st.text())
def test_any_text(text: str) -> None:
    told = language_of(text)
    assert told is None or len(told) == 2
