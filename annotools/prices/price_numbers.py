"""How the numbers of a price list are written, in its table and in its picture alike."""


def write_number(value: float | None, unit: str = "") -> str:
    """Return four digits, or tenths of what is larger; a dash for None."""
    if value is None:
        return "–"
    value = round(value, 9) + 0.0  # Rounding leaves a negative zero, which the sum turns positive.
    return f"{value:,.1f}{unit}" if abs(value) >= 1000 else f"{value:#.4g}".rstrip(".") + unit


def write_interval(low: float, high: float) -> str:
    """Return both ends in brackets after a space; nothing where they are written alike."""
    # Three digits are more than the ranges of the times can support.
    low_text, high_text = _three_digits(low), _three_digits(high)
    return f" ({low_text}–{high_text})" if low_text != high_text else ""


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
