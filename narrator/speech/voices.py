"""The voices that the system has: listed, and found by ID, name or language."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from narrator.child import Child
from narrator.errors import EngineError, UsageError
from narrator.settings import DEFAULT_RATE, DEFAULT_VOLUME
from narrator.text import printable

COMMAND = (sys.executable, "-m", "narrator.speech.child")
START_TIMEOUT_S = 30.0  # for the child's first answer
# Where a Mac has them; Spoken Content is called Read & Speak since macOS 26.
MAC_VOICES = "System Settings > Accessibility > Spoken Content > System Voice > Manage Voices"

VoiceEntry = tuple[str, str, str]  # ID, name, and tags of languages with a space between


@dataclass(frozen=True)
class VoiceSettings:
    """How to speak. rate: words a minute. volume: 0 to 1. aloud: play it, too. sounds: and play
    those of sounds.py. english: what is said is in English. by_command: a Mac's command say."""

    voice: str | None = None
    rate: int = DEFAULT_RATE
    volume: float = DEFAULT_VOLUME
    aloud: bool = True
    sounds: bool = False
    english: bool = True
    by_command: bool = False


def voices_of(engine: Any) -> list[VoiceEntry]:
    """The voices that pyttsx3's engine has."""
    return [
        (str(voice.id), str(voice.name), " ".join(map(language_tag, voice.languages or [])))
        for voice in engine.getProperty("voices")
    ]


def language_tag(language: Any) -> str:
    """A language as drivers give it (en_US, en-gb, or bytes after a number) as a tag of BCP 47,
    written as it recommends: en-US, en-GB-scotland, zh-Hans."""
    text = language.decode("utf-8", "ignore") if isinstance(language, bytes) else str(language)
    first, *rest = printable(text).replace("_", "-").split("-")
    parts = [first.lower()]
    for part in rest:
        private = "x" in parts
        region = len(part) == 2 and not private
        script = len(part) == 4 and part.isalpha() and not private
        parts.append(part.upper() if region else part.title() if script else part.lower())
    return "-".join(parts)


def set_voice(engine: Any, settings: VoiceSettings) -> str:
    """Have pyttsx3's engine speak in the voice that choose_voice() chooses. Returns its name."""
    voices, usual = voices_of(engine), str(engine.getProperty("voice") or "")
    if (chosen := choose_voice(settings.voice, settings.english, voices, usual)) != usual:
        engine.setProperty("voice", chosen)
    return printable({voice[0]: voice[1] for voice in voices}.get(chosen) or chosen)


def choose_voice(
    wanted: str | None, english: bool, voices: Sequence[VoiceEntry], usual: str
) -> str:
    """The ID of the voice that is wanted, or else the usual one; where the captions are English and
    that is not, an English one. Raises UsageError as find_voice() does."""
    if wanted is not None:
        return find_voice(wanted, voices, usual)
    languages = " ".join(voice[2] for voice in voices if voice[0] == usual)
    if english and not re.search(r"\ben\b", languages):
        with contextlib.suppress(UsageError):
            return find_voice("en", voices, usual)
    return usual


# A Mac lists toys such as Albert and Bells before the voices that have such IDs, or this name.
NO_TOY = re.compile(r"^(com\.apple\.voice\..*|Samantha)$")

# Languages of which some systems name the members alone (ISO 639-3's macrolanguages).
MEMBERS = {"zh": "cmn", "no": "nb", "ms": "zsm", "fa": "pes"}


def find_voice(wanted: str, voices: Sequence[VoiceEntry], usual: str) -> str:
    """The ID of the voice with this ID, else name, else language (en-GB), else one whose language
    or name begins so (en, English). Of several for a language it is the system's own, `usual`, else
    the one of the language's home (fr-FR), no toy, with the shortest tag. Raises UsageError.
    """
    word, tag = wanted.casefold(), language_tag(wanted)
    for part in (0, 1):
        for voice in voices:
            if voice[part].casefold() == word:
                return voice[0]
    spoken = [(voice, language) for voice in voices for language in voice[2].split()]
    found: list[VoiceEntry] = []
    for name in (tag, MEMBERS.get(tag, tag)):
        found = found or [voice for voice, language in spoken if language == name]
        found = found or [voice for voice, language in spoken if language.startswith(f"{name}-")]
    found = found or [voice for voice in voices if voice[1].casefold().startswith(f"{word} ")]
    if not found:
        raise UsageError(f"there is no voice {wanted!r}; --list-voices shows them")
    home = f"{tag}-{tag.upper()}"

    def rank(voice: VoiceEntry) -> tuple[bool, bool, bool, int]:
        return voice[0] != usual, voice[2] != home, not NO_TOY.search(voice[0]), len(voice[2])

    return min(found, key=rank)[0]


Opening = Callable[[], contextlib.AbstractContextManager[contextlib.ExitStack]]


def list_voices(opening: Opening, command: Sequence[str] = COMMAND) -> None:
    """Print ID, name and languages of each voice that the system has. A child asks.

    opening: Shutdown.opening, for a child that hangs. Raises EngineError when there is no voice.
    """
    with opening() as opened:
        child = Child(command)
        opened.callback(child.kill)
    try:
        with child:
            answer = child.ask({"list": True}, START_TIMEOUT_S)
    except ChildProcessError as error:
        answer = {"trouble": f"speech failed ({error})"}
    if not (voices := answer.get("voices")):
        where = f"; get one in {MAC_VOICES}" if sys.platform == "darwin" else ""
        why = answer.get("missing") or answer.get("trouble") or f"none is installed{where}"
        raise EngineError(f"no voice found: {why}")
    for voice in voices:
        print("  ".join(map(printable, voice)))
