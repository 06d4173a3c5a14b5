"""Synthesis: training and evaluation data written from passages, and wordings of questions."""

from lorepack.synthesis.given import read_given
from lorepack.synthesis.paraphrase import ParaphraseReport, paraphrase
from lorepack.synthesis.prompts import Prompts
from lorepack.synthesis.report import SynthesisReport
from lorepack.synthesis.run import synthesize
from lorepack.synthesis.settings import ParaphraseSettings, SynthesisSettings, parse_form
from lorepack.synthesis.sources import passages_of
from lorepack.synthesis.writers import writer_named

__all__ = [
    "ParaphraseReport",
    "ParaphraseSettings",
    "Prompts",
    "SynthesisReport",
    "SynthesisSettings",
    "paraphrase",
    "parse_form",
    "passages_of",
    "read_given",
    "synthesize",
    "writer_named",
]
