"""What the narration speaks through, and what may be kept of it."""

from __future__ import annotations

from typing import Protocol

from narrator.speech.sounds import Sound


class Speaker:
    """One that is silent: the base class of a voice and of what puts the sentences into a file.
    `at` is always seconds into the source."""

    @property
    def audible(self) -> bool:
        """False where nothing is ever heard."""
        return False

    @property
    def trouble(self) -> str | None:
        """Why nothing is heard now, or None."""
        return None

    def say(self, sentence: str, caption: int, at: float) -> bool:
        """Speak a sentence of caption number `caption` about the frame `at`; sentences of older
        captions that wait are dropped. False when there is no voice. Raises UsageError for a
        --voice that does not exist."""
        return False

    def play(self, sound: Sound) -> None:
        """Play a sound before the next sentence, or never where that takes too long."""

    def looking(self, on: bool) -> None:
        """on: a caption, an answer, the source or the engine is still to come; when that takes long
        without a word, it is heard."""

    def mute(self, muted: bool) -> None:
        """Be heard no more, or again; what is kept of the narration goes on."""

    def quiet_in(self, at: float) -> float:
        """Seconds from `at`, which is now, until all is said."""
        return 0.0

    def hush(self) -> None:
        """Fall silent at once, and drop what waits; from any thread."""

    def wait_until_ready(self) -> None:
        """Wait until it can speak, or is known not to. Raises as say() does."""

    def wait_until_quiet(self) -> None:
        """Let what is being said come to its end."""

    def finish(self, length: float | None, ended: bool) -> None:
        """Complete what is kept of a film. length: in seconds, if known. ended: it is exact."""

    def close(self) -> None:
        """Fall silent and release everything, within a second; from any thread."""


class AudioSink(Protocol):
    """Who wants the sound of what a voice says. Called by the voice, on any thread."""

    def keep(self, text: str, samples: bytes) -> None:
        """It was said, or as much of it as there is. samples: 16 bits each, little-endian, mono,
        SAMPLE_RATE a second."""
