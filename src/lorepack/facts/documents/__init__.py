"""Documents: reading them, cleaning them, and cutting them into passages."""

from lorepack.facts.documents.cleaning import clean
from lorepack.facts.documents.cutting import Span, check_sizes, cut
from lorepack.facts.documents.document import Document
from lorepack.facts.documents.duplicates import Seen
from lorepack.facts.documents.language import language_of
from lorepack.facts.documents.reading import READERS, files_in, read_document, suffix_count
from lorepack.facts.documents.sentences import sentences
from lorepack.facts.documents.tokens import Count, words_and_signs

__all__ = [
    "READERS",
    "Count",
    "Document",
    "Seen",
    "Span",
    "check_sizes",
    "clean",
    "cut",
    "files_in",
    "language_of",
    "read_document",
    "sentences",
    "suffix_count",
    "words_and_signs",
]
