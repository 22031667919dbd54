"""Text -> the sound of it, without playing it."""

from __future__ import annotations

from dataclasses import replace

from narrator.speech.voice import LIMITS, Voice, VoiceLimits, VoiceSettings


class Renderer:
    """Returns the samples of a text, as AudioSink.keep gets them. Raises OSError as Voice does."""

    def __init__(self, settings: VoiceSettings, limits: VoiceLimits = LIMITS) -> None:
        self._samples = b""
        self._voice = Voice(replace(settings, aloud=False), self, limits)
        self.close = self._voice.close

    def __call__(self, text: str) -> bytes:
        """Nothing when there is no voice. A child that failed over a text gets it once more.
        Raises UsageError as Voice.say does; for an empty text as soon as that is known."""
        self._voice.wait_until_ready()
        self._samples = b""
        for _ in range(2):
            if not self._samples and self._voice.say(text, 0, 0.0):
                self._voice.wait_until_quiet()
        return self._samples

    def keep(self, text: str, samples: bytes) -> None:
        self._samples = samples

    def expect(self, sentence: str, text: str, at: float) -> None: ...
    def unspoken(self, sentence: str, caption: int, at: float) -> None: ...
