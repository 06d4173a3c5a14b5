"""Language models: load one, speak its chat format, generate, score."""

from lorepack.llm.available import Available, available
from lorepack.llm.chat import ANSWER, QUESTION, SYSTEM, ChatFormat, Turn
from lorepack.llm.generate import generate, generate_ids, generate_stream, overlong_indices
from lorepack.llm.load import LanguageModel, load, load_tokenizer
from lorepack.llm.score import score, score_pairs, text_logprobs, text_windows, token_logprobs

__all__ = [
    "ANSWER",
    "QUESTION",
    "SYSTEM",
    "Available",
    "ChatFormat",
    "LanguageModel",
    "Turn",
    "available",
    "generate",
    "generate_ids",
    "generate_stream",
    "load",
    "load_tokenizer",
    "overlong_indices",
    "score",
    "score_pairs",
    "text_logprobs",
    "text_windows",
    "token_logprobs",
]
