"""How a number is written: one place, so that the report, the card and the terminal agree."""

from __future__ import annotations

SPACE = "\u202f"
"""narrow no-break space, between a number and its sign"""
NOT_MEASURED = "not measured"


def count(number: int) -> str:
    """``3812`` as ``3,812``."""
    return f"{number:,}"


def facts(number: int, kind: str = "") -> str:
    """``1 fact``, ``200 Unknown facts``."""
    noun = "fact" if number == 1 else "facts"
    return " ".join(filter(None, (count(number), kind, noun)))


def percent(share: float | None) -> str:
    """A share in 0..1 with one decimal; what is not quite none or all never looks like it.

    Args:
        share: 0..1, or None when it was not measured.

    Returns:
        ``98.6 %``; ``<0.1 %`` and ``>99.9 %`` at the ends; ``not measured``.
    """
    if share is None:
        return NOT_MEASURED
    if 0 < share < 0.0005:
        return f"<0.1{SPACE}%"
    if 0.9995 <= share < 1:
        return f">99.9{SPACE}%"
    digits = 0 if share in (0, 1) else 1
    return f"{100 * share:.{digits}f}{SPACE}%"


def interval(low: float | None, high: float | None) -> str:
    """Two shares as ``97.4 % to 99.5 %``; empty when one was not measured."""
    if low is None or high is None:
        return ""
    return f"{percent(low)} to {percent(high)}"


def ratio(number: int, whole: int) -> float | None:
    """``number / whole``, None when the whole is empty."""
    return number / whole if whole else None


def real(number: float | None) -> str:
    """A measured number with three significant digits, final zeros too; 0 is exactly none."""
    if number is None:
        return NOT_MEASURED
    if abs(number) >= 999.5:
        return count(round(number))
    return f"{number:#.3g}".rstrip(".") if number else "0"


def duration(seconds: float) -> str:
    """Seconds as ``<0.1 s``, ``4.2 s``, ``3 min 05 s`` or ``2 h 07 min``."""
    if 0 < seconds < 0.05:
        return f"<0.1{SPACE}s"
    if seconds < 60:
        return f"{seconds:.1f}{SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{SPACE}min {rest:02d}{SPACE}s"
    return f"{minutes // 60}{SPACE}h {minutes % 60:02d}{SPACE}min"


def short(text: str, length: int = 300) -> str:
    """Text of the data on one line, cut with an ellipsis when it is longer than ``length``."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def p_value(p: float | None) -> str:
    """A p-value with two digits; never 0, which no test can give."""
    if p is None:
        return NOT_MEASURED
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def signed(number: float | None, digits: int = 3) -> str:
    """A difference with its sign, in ``digits`` decimals: ``+0.012``, ``−0.004``, ``0``."""
    if number is None:
        return NOT_MEASURED
    text = f"{number:+.{digits}f}".replace("-", "−")
    return text if text.strip("+−0.") else "0"
