"""Numbers with units, for people; programs get seconds and bytes."""

from __future__ import annotations


def duration(seconds: float | None) -> str | None:
    """A length of time in its two largest units.

    >>> duration(42), duration(4_000), duration(200_000)
    ('42s', '1h06m', '2d07h')
    """
    if seconds is None:
        return None
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def size(number: int | None) -> str | None:
    """An amount of bytes.

    >>> size(999), size(2_500_000)
    ('999 B', '2.5 MB')
    """
    if number is None:
        return None
    amount = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
