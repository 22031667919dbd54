"""Sentences -> samples -> the sound device: what is said when, and what is dropped.

say() queues what the narration hands over. The supervisor's thread has it rendered by a child, one
sentence ahead of the one that is heard, and hands it to the player.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import dataclass
from functools import partial

from narrator.child import Child, Supervisor
from narrator.errors import EngineError, UsageError, reason_of
from narrator.speech.aloud import aloud
from narrator.speech.player import POLL_S, Clip, Player
from narrator.speech.sounds import Sound
from narrator.speech.speaker import AudioSink, Speaker
from narrator.speech.synthesizer import LIMITS, Limits, Synthesizer
from narrator.speech.voices import VoiceSettings
from narrator.text import count_words, speakable

AHEAD = 2  # sentences that are rendered: one is heard, one waits
IDLE_S, ALIVE_S = 0.5, 1.0  # how often an idle child is asked whether it is alive; for its answer
LOOKING_AFTER_S, LOOKING_EVERY_S = 3.0, 5.0  # without a sound until LOOKING is heard; and again
log = logging.getLogger(__name__)


@dataclass(eq=False)
class Sentence:
    text: str
    caption: int
    tries: int = 0


class Voice(Speaker):
    """A Speaker: one sentence at a time, the newest caption wins.

    A child that ends, hangs or renders nothing is replaced, and its sentence tried once more.
    Trouble is reported once, and so is its end. sink: gets the sound of what was said. Raises
    OSError where no temporary folder can be made.
    """

    def __init__(
        self, settings: VoiceSettings, sink: AudioSink | None = None, limits: Limits = LIMITS
    ) -> None:
        self._settings, self._sink = settings, sink
        self._changed = threading.Condition()
        self._waiting: list[Sentence] = []  # to be rendered, of the newest caption
        self._muted = False
        self._error: Exception | None = None  # why there is no voice
        self._looking_at: float | None = None  # when LOOKING is due, while something is to come
        self._synthesizer = Synthesizer(settings, limits)
        self._player = Player(settings.aloud, limits.stall_s)
        self._supervisor = Supervisor(
            limits.command, self._work, self._on_trouble, self._on_recovery, limits.pauses_s
        )

    @property
    def name(self) -> str | None:
        """The name of the voice, once it is known."""
        return self._synthesizer.voice

    @property
    def audible(self) -> bool:
        return self._settings.aloud and self._speaks()

    @property
    def trouble(self) -> str | None:
        if self._error is not None:
            return f"no voice: {self._error}"
        return f"no sound: {self._player.trouble}" if self._player.trouble else None

    def say(self, sentence: str, caption: int, at: float) -> bool:
        text = speakable(aloud(sentence))
        with self._changed:
            if not (self._speaks() and text) or (self._muted and self._sink is None):
                return False
            self._waiting = [each for each in self._waiting if each.caption == caption]
            self._waiting.append(Sentence(text, caption))
            self._player.keep(caption)
            self._wait_to_look()
            self._changed.notify_all()
        return not self._muted and (self._sink is not None or not self._player.trouble)

    def play(self, sound: Sound) -> None:
        if self._settings.sounds and self._settings.aloud and not self._muted:
            log.debug(f"sound: {sound.name.lower()}")
            samples = sound.samples(self._settings.volume)
            self._player.play(Clip(samples, stale_at=time.monotonic() + sound.patience_s))

    def looking(self, on: bool) -> None:
        if on != (self._looking_at is not None):
            self._looking_at = time.monotonic() + LOOKING_AFTER_S if on else None

    def mute(self, muted: bool) -> None:
        self._muted = muted

    def quiet_in(self, at: float) -> float:
        with self._changed:
            words = sum(count_words(each.text) for each in self._waiting)
        return self._player.left_s(sounds=False) + 60 * words / self._settings.rate

    def hush(self) -> None:
        with self._changed:
            self._waiting.clear()
            self._player.hush()
        if self._looking_at is not None:
            self._looking_at = math.inf  # until something else is heard, or to come

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._synthesizer.limits.start_timeout_s
        while time.monotonic() < deadline and self._speaks():
            if self._synthesizer.ready and self._player.tried:
                break
            time.sleep(POLL_S)

    def wait_until_quiet(self) -> None:
        while self.quiet_in(0.0) > 0 or self._player.left_s() > 0:
            time.sleep(POLL_S)

    def close(self) -> None:
        self._error, self._synthesizer.ready = EngineError("it is closed"), False
        self.hush()
        self._player.close()
        self._supervisor.close()
        self._synthesizer.close()

    def _speaks(self) -> bool:
        """Raises UsageError when --voice does not exist."""
        if isinstance(self._error, UsageError):
            raise self._error
        return self._synthesizer.ready or self._error is None

    def _work(self, child: Child) -> None:
        """Have a new child render what comes."""
        try:
            self._synthesizer.begin(child)
            while True:
                if (sentence := self._next()) is not None:
                    sentence.tries += 1
                    self._hand_over(sentence, self._synthesizer.render(child, sentence.text))
                else:
                    child.ask({}, ALIVE_S)
                if not self._synthesizer.failures:
                    self._supervisor.steady()
        except (EngineError, UsageError) as error:  # There will never be a voice.
            self._on_trouble(error)
        except ChildProcessError as error:
            if any(each.tries > 1 for each in self._waiting):  # A sentence is lost.
                self._supervisor.report(error)
            raise
        finally:
            self._synthesizer.ready = False
            with self._changed:
                self._waiting = [each for each in self._waiting if each.tries < 2]

    def _next(self) -> Sentence | None:
        """Wait for a sentence to render, but not for ever."""
        with self._changed:
            self._changed.wait_for(self._may_render, IDLE_S)
            if self._may_render():
                return self._waiting[0]
        if self._player.left_s():
            self._wait_to_look()
        elif self._looking_at is not None and self._looking_at < time.monotonic():
            self.play(Sound.LOOKING)
            self._looking_at = time.monotonic() + LOOKING_EVERY_S
        return None

    def _wait_to_look(self) -> None:
        """Something is heard: LOOKING is not, for a while."""
        if self._looking_at is not None:
            self._looking_at = time.monotonic() + LOOKING_AFTER_S

    def _may_render(self) -> bool:
        return bool(self._waiting) and self._player.sentences() < AHEAD

    def _hand_over(self, sentence: Sentence, samples: bytes) -> None:
        clip = Clip(samples, sentence.caption, partial(self._said, sentence.text))
        with self._changed:
            if sentence not in self._waiting:  # It was dropped meanwhile.
                return
            if self._settings.aloud and not self._muted:
                self._player.play(clip)
            else:
                clip.done(samples)
            self._waiting.remove(sentence)

    def _said(self, text: str, samples: bytes) -> None:
        with self._changed:
            self._changed.notify_all()
        try:
            if self._sink is not None:
                self._sink.keep(text, samples)
        except Exception as error:  # Whatever it is, the voice goes on.
            log.info(f"the sound can't be kept: {reason_of(error)}")

    def _on_trouble(self, error: Exception) -> None:
        lasting = isinstance(error, (EngineError, UsageError))
        with self._changed:
            self._error = error if lasting else EngineError(f"speech failed ({reason_of(error)})")
            self._waiting.clear()
        if not isinstance(error, UsageError):
            log.info(f"{self.trouble}; the captions go on as text")
            self.play(Sound.TROUBLE)

    def _on_recovery(self) -> None:
        self._error = None
        log.info("the voice is back")
