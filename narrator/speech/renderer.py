"""Text -> the samples of it, which nobody hears."""

from __future__ import annotations

from dataclasses import replace

from narrator.speech.synthesizer import LIMITS, Limits
from narrator.speech.voice import Voice
from narrator.speech.voices import VoiceSettings


class Renderer:
    """Returns the samples of a text, as AudioSink.keep gets them. Raises OSError as Voice does."""

    def __init__(self, settings: VoiceSettings, limits: Limits = LIMITS) -> None:
        self._samples = b""
        self._voice = Voice(replace(settings, aloud=False), self, limits)
        self.close = self._voice.close

    def __call__(self, text: str) -> bytes:
        """Nothing when there is no voice. Raises UsageError as Voice.say does; for an empty text
        as soon as that is known."""
        self._voice.wait_until_ready()
        self._samples = b""
        if self._voice.say(text, 0, 0.0):
            self._voice.wait_until_quiet()
        return self._samples

    def keep(self, text: str, samples: bytes) -> None:
        self._samples = samples
