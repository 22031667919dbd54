"""The voices that the system has: listed, and found by ID, name or language."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from narrator.errors import EngineError, UsageError
from narrator.settings import SCREEN_READER
from narrator.speech.voice import LIMITS, SpeechProcess, VoiceLimits, VoiceSettings
from narrator.text import printable

# Where a Mac has them; Spoken Content is called Read & Speak since macOS 26.
MAC_VOICES = "System Settings > Accessibility > Spoken Content > System Voice > Manage Voices"

VoiceEntry = tuple[str, str, str]  # ID, name, and tags of languages with a space between


def voices_of(engine: Any) -> list[VoiceEntry]:
    """The voices that pyttsx3's engine has."""
    return [
        (str(voice.id), str(voice.name), " ".join(map(language_tag, voice.languages or [])))
        for voice in engine.getProperty("voices")
    ]


def language_tag(told: Any) -> str:
    """A language as drivers tell it (en_US, en-gb, or bytes after a number) as a tag of BCP 47,
    written as it recommends: en-US, en-GB-scotland, zh-Hans."""
    text = told.decode("utf-8", "ignore") if isinstance(told, bytes) else str(told)
    first, *rest = printable(text).replace("_", "-").split("-")
    parts = [first.lower()]
    for part in rest:
        private = "x" in parts
        region = len(part) == 2 and not private
        script = len(part) == 4 and part.isalpha() and not private
        parts.append(part.upper() if region else part.title() if script else part.lower())
    return "-".join(parts)


def set_voice(engine: Any, settings: VoiceSettings) -> None:
    """Set voice, rate and volume. Raises UsageError when there is no such voice."""
    if settings.voice is not None:
        usual = engine.getProperty("voice")
        engine.setProperty("voice", find_voice(settings.voice, voices_of(engine), usual))
    engine.setProperty("rate", settings.rate)
    engine.setProperty("volume", settings.volume)


# Languages of which some systems name the members alone (ISO 639-3's macrolanguages).
MEMBERS = {"zh": "cmn", "no": "nb", "ms": "zsm", "fa": "pes"}


def find_voice(wanted: str, voices: Sequence[VoiceEntry], usual: str) -> str:
    """The ID of the voice with this ID, else name, else language (en-GB), else one whose language
    or name begins so (en, English). Of several for a language it is the system's own, `usual`, else
    the one of the language's home (fr-FR), else the one with the shortest tag. Raises UsageError.
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
    return min(found, key=lambda voice: (voice[0] != usual, voice[2] != home, len(voice[2])))[0]


Opening = Callable[[], contextlib.AbstractContextManager[contextlib.ExitStack]]


def list_voices(opening: Opening, limits: VoiceLimits = LIMITS) -> None:
    """Print ID, name and languages of each voice. Raises as ask_for_voices() does."""
    for voice in ask_for_voices(opening, limits)[0]:
        print("  ".join(map(printable, voice)))


def voice_name(wanted: str | None, opening: Opening, limits: VoiceLimits = LIMITS) -> str:
    """The name of the voice that --voice, or else the system, chooses. Raises UsageError, and as
    ask_for_voices() does."""
    if wanted == SCREEN_READER:
        return "the screen reader"
    voices, usual = ask_for_voices(opening, limits)
    chosen = usual if wanted is None else find_voice(wanted, voices, usual)
    return printable({voice[0]: voice[1] for voice in voices}.get(chosen, chosen))


def ask_for_voices(opening: Opening, limits: VoiceLimits) -> tuple[list[VoiceEntry], str]:
    """The voices that the system has, and the ID of the usual one. A child asks, as drivers print.

    opening: Shutdown.opening, for a child that hangs. Raises EngineError when there is no voice.
    """
    with opening() as opened:
        child = SpeechProcess(limits.command)
        opened.callback(child.kill)
    try:
        with child:
            answer = child.ask({"list": True}, limits.start_timeout_s)
    except ChildProcessError as error:
        raise EngineError(f"no voice found: speech failed ({error})") from error
    if not answer.get("voices"):
        where = f"; get one in {MAC_VOICES}" if sys.platform == "darwin" else ""
        raise EngineError(f"no voice found: {answer['trouble'] or f'none is installed{where}'}")
    return answer["voices"], str(answer.get("usual"))
