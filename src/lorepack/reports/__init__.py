"""Result files made readable: the report, the model card, and tables for a terminal.

Reads files only: nothing here knows a model, so a report can be written anywhere, again and again.
"""

from lorepack.reports.card import model_card
from lorepack.reports.compare_page import compare_page
from lorepack.reports.curves_page import curves_page
from lorepack.reports.facts_page import facts_page
from lorepack.reports.page import report
from lorepack.reports.summary_page import summary_page
from lorepack.reports.tables import Summary, Table, summary

__all__ = [
    "Summary",
    "Table",
    "compare_page",
    "curves_page",
    "facts_page",
    "model_card",
    "report",
    "summary",
    "summary_page",
]
