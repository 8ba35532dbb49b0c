"""Numbers as people read them, for pages, tables and terminals alike."""

from __future__ import annotations

#: Between groups of three digits, and between a number and its unit: no line may break there.
THIN, UNBROKEN = "\u202f", "\u00a0"


def number(value: float, digits: int = 0) -> str:
    """``12 345.6``, with a true minus sign."""
    rounded = round(value, digits) + 0.0  # which makes of -0.0 a 0
    return f"{rounded:,.{digits}f}".replace(",", THIN).replace("-", "\u2212")


def counted(count: int, noun: str) -> str:
    """``1 block``, ``2 blocks``."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def figure(value: float) -> str:
    """A number with about three digits that tell something."""
    size = abs(value)
    if 0 < size < 0.005:
        return f"<{THIN}0.01"
    return number(value, 0 if size >= 100 else 1 if size >= 10 else 2)


def square_km(value: float) -> str:
    """An area: ``232 km²``."""
    return f"{figure(value)}{UNBROKEN}km²"


def hectares(square_kilometres: float) -> str:
    """An area: ``23 200 ha``."""
    return f"{figure(100 * square_kilometres)}{UNBROKEN}ha"


def percent(share: float) -> str:
    """A share; a small one that is not zero never reads as zero."""
    if 0 < share < 0.0005:
        return f"<{THIN}0.1{UNBROKEN}%"
    return f"{number(100 * share, 1)}{UNBROKEN}%"


def duration(seconds: float) -> str:
    """``8.3 s``, ``4 min 10 s`` or ``3 h 05 min``."""
    if seconds < 60:
        return f"{number(seconds, 1)}{UNBROKEN}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{UNBROKEN}min {rest:02d}{UNBROKEN}s"
    return f"{minutes // 60}{UNBROKEN}h {minutes % 60:02d}{UNBROKEN}min"


def size(count: float) -> str:
    """Bytes as kB, MB or GB (powers of ten)."""
    for unit, step in (("GB", 1e9), ("MB", 1e6)):
        if count >= step:
            return f"{figure(count / step)}{UNBROKEN}{unit}"
    return f"{number(count / 1e3, 0 if count >= 1e4 else 1)}{UNBROKEN}kB"


def degrees(value: float, positive: str, negative: str, digits: int) -> str:
    """``13.5° E``."""
    return f"{abs(value):.{digits}f}°{THIN}{positive if value >= 0 else negative}"
