"""A sentence as a person reads it aloud: amounts, measures, fractions and dates in words."""

from __future__ import annotations

import re
from calendar import month_name

ENGLISH = re.compile(r"\b(the|an?|of|is|are|and|with|on|in|at|to|for|from|by|no)\b", re.IGNORECASE)
CURRENCIES = {"£": "GBP", "$": "USD", "€": "EUR", "₹": "INR"}
UNITS = {
    "mm": "millimetre", "cm": "centimetre", "m": "metre", "km": "kilometre", "mg": "milligram",
    "g": "gram", "kg": "kilogram", "ml": "millilitre", "l": "litre", "lb": "pound", "oz": "ounce",
    "km/h": "kilometre{} per hour", "mph": "mile{} per hour",
}  # fmt: skip
PARTS = {"2": "half", "3": "third", "4": "quarter", "5": "fifth", "8": "eighth"}
DAY, MONTH = r"(?P<d>0[1-9]|[12]\d|3[01])", r"(?P<m>0?[1-9]|1[0-2])"


def _amount(match: re.Match[str]) -> str:
    from num2words import num2words  # It takes a while to import.

    number = float(match[2].replace(",", ""))
    words: str = num2words(number, to="currency", currency=CURRENCIES[match[1]])
    return re.sub(r" sterling|, zero \w+$|^zero \w+( sterling)?, ", "", words)


def _measure(match: re.Match[str]) -> str:
    unit = UNITS[match[2]]
    unit = unit if "{" in unit else f"{unit}{{}}"
    return f"{match[1]} {unit.format('' if match[1] == '1' else 's')}"


def _fraction(match: re.Match[str]) -> str:
    whole, count, of = match.groups("")
    if not 0 < int(count) < int(of):
        return match[0]
    return f"{whole and whole + 'and '}{count} {PARTS[of]}{'' if count == '1' else 's'}"


def _date(match: re.Match[str]) -> str:
    return f"{int(match['d'])} {month_name[int(match['m'])]} {match['y']}"


SPOKEN = [
    (re.compile(rf"(?<![\w/.,-]){pattern}(?![\w/-]|[.,]\d)"), words)
    for pattern, words in (
        (r"([£$€₹])(\d[\d,]*(?:\.\d\d)?)(?! [mb]illion)", _amount),
        (rf"(\d[\d,.]*)\s?({'|'.join(UNITS)})", _measure),
        (r"(\d+ )?(\d)/([23458])", _fraction),
        (rf"(?P<y>\d{{4}})-{MONTH}-{DAY}", _date),
        # Both parts of 3/12/2026 may be a month.
        (rf"(?P<d>1[3-9]|2\d|3[01])[/.]{MONTH}[/.](?P<y>\d{{4}})", _date),
        (rf"{MONTH}/(?P<d>1[3-9]|2\d|3[01])/(?P<y>\d{{4}})", _date),
        (r"(\d+)\s?\u2013\s?(\d+)", r"\1 to \2"),
    )
]  # fmt: skip


def aloud(text: str) -> str:
    """A sentence as a person reads it aloud: "£3.50", "3/4", "12 cm" and dates in words. Text that
    seems not to be English stays as it is."""
    foreign = any(one.isalpha() and not one.isascii() for one in text)
    if foreign and not ENGLISH.search(text) and len(text.split()) > 3:
        return text
    for pattern, words in SPOKEN:
        text = pattern.sub(words, text)
    return text
