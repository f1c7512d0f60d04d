"""Numbers as a reader sees them: one way for tables, figures and the terminal."""

from __future__ import annotations

import math

NOTHING = "–"


def decimals(unit: str) -> int:
    """Return the digits after the point: three for plain numbers, two for lengths."""
    return 3 if unit == "1" else 2


def number(value: float, digits: int, sign: bool = False) -> str:
    """Return a number with a real minus; a dash for NaN; with `sign`, a plus for positive values.

    >>> number(-0.01234, 3), number(0.5, 2, sign=True), number(float("nan"), 3)
    ('−0.012', '+0.50', '–')
    """
    if value is None or math.isnan(value):
        return NOTHING
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    # What rounds to zero has no sign: neither "−0.000" nor "+0.000".
    return text.replace("-", "−") if float(text) else f"{0:.{digits}f}"


def interval(value: float, low: float, high: float, digits: int, sign: bool = False) -> str:
    """Return a value and its interval in square brackets; without limits, the value alone.

    Args:
        value: the value; NaN gives a dash.
        low: lower limit of the interval, NaN for none.
        high: upper limit, NaN for none.
        digits: digits after the point, of all three.
        sign: write a plus before a positive value.

    >>> interval(0.81234, 0.79, 0.83, 3)
    '0.812 [0.790, 0.830]'
    """
    middle = number(value, digits, sign)
    if middle == NOTHING or math.isnan(low) or math.isnan(high):
        return middle
    return f"{middle} [{number(low, digits)}, {number(high, digits)}]"


def p_value(value: float) -> str:
    """Return a p value to three digits, `<0.001` below."""
    if math.isnan(value):
        return NOTHING
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def count(value: float) -> str:
    """Return a whole number, thin spaces by thousands from five digits on; a dash for NaN."""
    if math.isnan(value):
        return NOTHING
    return f"{int(value):,}".replace(",", " ") if value >= 10_000 else str(int(value))


def scaled(value: float) -> str:
    """Return a large number with three digits and a prefix.

    >>> scaled(1_234_567), scaled(8.1e9), scaled(950)
    ('1.23 M', '8.10 G', '950')
    """
    if math.isnan(value):
        return NOTHING
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{_three(value / size)} {prefix}"
    return _three(value) if value % 1 else str(int(value))


def _three(value: float) -> str:
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:.{digits}f}"


def duration(seconds: float) -> str:
    """Return a span of time in the largest fitting unit."""
    if math.isnan(seconds):
        return NOTHING
    # From two of a unit on: 90 s says more than 1.50 min.
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{_three(seconds / size)} {unit}"
    return f"{_three(seconds)} s"
