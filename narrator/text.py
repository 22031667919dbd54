"""Text as data: cleaned before it is printed or spoken, rid of passwords.

What a model generated, a person typed or a file is called reaches the terminal and the voice only
through here.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import unquote


class TextLine(NamedTuple):
    """A line of text that was read in a picture, printable. box: left, top, right and bottom, in
    pixels. confidence: 0 to 1."""

    text: str
    box: tuple[int, int, int, int]
    confidence: float


def printable(text: str) -> str:
    """Text on one line without control characters, so that it can't steer a terminal.

    Dropped are Unicode's categories C*: controls such as ESC, direction overrides, lone
    surrogates, unassigned code points; kept are the joiners that scripts and emoji need.
    """
    kept = []
    for character in text:
        category = unicodedata.category(character)
        if character.isspace() or category in ("Zl", "Zp"):
            kept.append(" ")
        elif category[0] != "C" or character in "\u200c\u200d":
            kept.append(character)
    return " ".join("".join(kept).split())


def speakable(text: str) -> str:
    """Printable text without the commands that speech engines obey inside it.

    macOS takes [[...]] as embedded commands ("Use Embedded Speech Commands to Fine-Tune Spoken
    Output", Apple's Speech Synthesis Programming Guide) and espeak-ng as phonemes; markup in <...>
    is SSML to some voices. Brackets are not spoken, so none is left.
    """
    text = re.sub(r"\[\[.*?(\]\]|$)", " ", printable(text))
    return " ".join(re.sub(r"[\[\]<>{}|\\^`~]", " ", text).split())


def without_marks(prompt: str) -> str:
    """What a person asks, without the brackets that a model's own marks, such as <image>, stand
    in."""
    return re.sub(r"[<>]", " ", prompt)


def as_condition(text: str) -> str:
    """What --when watches for, as it may stand in a question."""
    thing = printable(without_marks(text)).strip(" .!?")
    return re.sub(r"^there(?:'s| is) ", "", thing, flags=re.IGNORECASE)


def capitalised(text: str) -> str:
    """Text that begins as a sentence does."""
    return text[:1].upper() + text[1:]


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of those known that a word may have been meant to be; None where none is like it."""
    return next(iter(difflib.get_close_matches(word.lower(), list(known), 1, 0.7)), None)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """What to add to a message that a word is none of those known."""
    near = nearest(word, known)
    return f"; did you mean {near}?" if near else ""


def without_password(url: str) -> str:
    """The same text with user, password and query of a URL masked, fit to be printed."""
    if re.match(r"[^\s/:@]+:(?!//)", url):  # user:password@ without a scheme, or a file's name
        return re.sub(r".*@", "***@", url, flags=re.DOTALL)
    before, mark, rest = url.partition("://")
    if re.search(r"[?#].*@", rest, re.DOTALL):  # a password with a ?, or a query with an @
        return f"{before}://***"
    rest = re.sub(r"[?#].*", "?***", rest, flags=re.DOTALL)
    return before + mark + re.sub(r".*@", "***@", rest, flags=re.DOTALL)


def secrets_in(texts: Iterable[str]) -> list[str]:
    """The passwords of the user:password@ in texts, with or without a scheme before it, as they
    stand there and decoded; of a short one with what is around it, or it would be all over."""
    found: set[str] = set()
    parts = (part for text in texts for word in text.split() for part in word.split("@")[:-1])
    for part in parts:
        if match := re.search(r":([^/].*)", part):  # one search a part: linear in its length
            secret = match[1]
            found |= {secret, unquote(secret)} if len(secret) > 3 else {f":{secret}@"}
    return sorted(found, key=len, reverse=True)


def without_secrets(text: str, secrets: Sequence[str]) -> str:
    """The same text with each of these as ***; a short one only where it stands alone, or what is
    printed could not be read any more."""
    bare, alone = r"{}", r"(?<!\w){}(?!\w)"
    forms = [(bare if len(each) > 3 else alone).format(re.escape(each)) for each in secrets]
    return re.sub("|".join(forms), "***", text) if forms else text


def words_of(text: str) -> str:
    """A sentence's words alone: the same for two that differ in case and punctuation."""
    return " ".join(re.findall(r"\w+", text.casefold())) or text


def count_words(text: str) -> float:
    """How many words to reckon with. Some languages write without spaces: five letters are a word
    there."""
    return max(len(text.split()), len(text) / 5)


def is_repeat(sentence: str, before: Iterable[str]) -> bool:
    """True when a sentence is one of those before, but for a letter here and there, which another
    look at the same text may change; not for a digit, by which two pages or prices may differ."""
    near = difflib.get_close_matches(sentence, list(before), 1, 0.9)
    return bool(near) and re.findall(r"\d", near[0]) == re.findall(r"\d", sentence)


def ago(seconds: float) -> str:
    """How long ago, to be spoken."""
    count, unit = (round(seconds / 60), "minute") if seconds >= 90 else (round(seconds), "second")
    return f"{count} {unit}{'' if count == 1 else 's'} ago"


def minutes(seconds: float) -> str:
    """A length as 2:05."""
    return f"{round(seconds) // 60}:{round(seconds) % 60:02}"
