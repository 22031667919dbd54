"""Pieces of text become sentences; the sentences go to the voice as they come, the caption to the
outputs. Knows what was said before: no sentence is spoken twice in a row, and a recap is at hand.

Where the pieces come from, and which frame is worth any, is not known here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from narrator.doubt import Sentence, rated, weighed
from narrator.engines.engine import Piece
from narrator.frames.frame import Frame
from narrator.frames.source import Source
from narrator.outputs.output import Alert, Caption, Output
from narrator.speech.sounds import Sound
from narrator.speech.speaker import Speaker
from narrator.text import TextLine, ago, first_large, printable, was_read, words_of

log = logging.getLogger(__name__)

RECAP_S = 600.0
RECAP_LENGTH = 10  # captions; nobody listens to more


class Narrator:
    """Turns pieces of text into a caption: sentences to the voice as they come, then a line.

    What the last caption said already is not spoken again until repeat_after_s, and a caption with
    nothing new in it not printed, unless every caption is wanted.
    source: whose clock the frames are on. clock: the wall clock, in seconds.
    """

    def __init__(
        self,
        source: Source,
        speaker: Speaker | None,
        outputs: Sequence[Output],
        clock: Callable[[], float] = time.monotonic,
        repeat_after_s: float = 60.0,
        every_caption: bool = False,
    ) -> None:
        self._speaker = speaker
        self._outputs = outputs
        self._source = source
        self._clock = clock
        self._repeat_after_s = repeat_after_s
        self._every_caption = every_caption
        self._lead_s = 0.0  # from the start on a frame to its first sentence, the last time
        self._last: set[str] = set()  # what the last caption said
        self._read: list[str] = []  # the sentences of the text that was read last
        self._spoken_at = 0.0
        self._told: dict[str, tuple[float, str]] = {}  # words: when last, and how; newest last
        self._begun = self._silenced = False  # some of the caption is spoken; no more of it is
        self.latest = ""  # the last caption or answer as it was printed
        self.answered: str | None = None  # what that was the answer to
        self.count = 0  # captions, answers to questions not among them

    # -- captions

    def narrate(
        self,
        frame: Frame,
        pieces: Iterable[Piece],
        question: str | None = None,
        asked: bool = False,
        look_again: Callable[[], str] | None = None,
        alert: Alert | None = None,
    ) -> None:
        """Narrate what an engine says of a frame. Raises what `pieces` raises; nothing is printed
        then.

        question: what this answers. asked: it is spoken even where it was said before. look_again:
        for weighed(). alert: what it is told for, which is said first.
        """
        started, began = self._clock(), self._source.now()
        self._begun = self._silenced = False
        if asked:
            self._last = set()
        first_token_s, age, spoken = 0.0, 0.0, False
        is_new = self._every_caption or asked or alert is not None
        if alert is not None:
            self.sound(Sound.ALERT)
            spoken = self._speak(f"{first_large(alert.when)}.")

        def timed() -> Iterator[Piece]:
            nonlocal first_token_s
            for piece in pieces:
                if piece.text and not first_token_s:
                    first_token_s = self._clock() - started
                yield piece

        said: dict[str, Sentence] = {}  # by their words alone
        for sentence in weighed(rated(timed()), look_again):
            text = printable(sentence.text)
            words = words_of(text)
            if not text:
                continue
            if words in said:  # The model goes round in circles.
                break
            now = self._source.now()
            if not said:
                age, self._lead_s = now - frame.taken, now - began
            if words not in self._last or now - self._spoken_at >= self._repeat_after_s:
                self._spoken_at, is_new = now, True
                spoken = self._speak(text) or spoken
            said[words] = sentence._replace(text=text)
        if not said:
            raise RuntimeError("the model had nothing to say")
        self._last = set(said)
        caption_s = self._clock() - started
        if is_new:
            time, text = self.time_of(frame), " ".join(one.text for one in said.values())
            rates = [one.confidence for one in said.values() if one.confidence is not None]
            hedged = any(one.hedged for one in said.values())
            times = first_token_s, caption_s, age
            doubt = min(rates, default=None), hedged
            self._keep(Caption(frame, time, text, *times, spoken, question, *doubt, alert))

    def read(
        self,
        frame: Frame,
        sentences: Iterable[str],
        lines: Sequence[TextLine],
        question: str | None = None,
        asked: bool = False,
    ) -> None:
        """Read text that is in a frame, word for word; what was in the last one already is not
        spoken again, and a text with nothing new in it not printed. Raises what `sentences` raises.

        sentences: printable, at least one. lines: whole when they are through. question, asked: as
        for narrate().
        """
        started, began = self._clock(), self._source.now()
        self._begun = self._silenced = False
        before = [] if asked else self._read
        first_s, age, spoken, is_new = 0.0, 0.0, False, self._every_caption
        said: list[str] = []
        for sentence in sentences:
            if not said:
                now, first_s = self._source.now(), self._clock() - started
                age, self._lead_s = now - frame.taken, now - began
            if not was_read(sentence, before):
                is_new = True
                spoken = self._speak(sentence) or spoken
            said.append(sentence)
        self._read = said
        if is_new:
            time, times = self.time_of(frame), (first_s, self._clock() - started, age)
            sure = min((line.confidence for line in lines), default=None)
            told = Caption(frame, time, " ".join(said), *times, spoken, question, sure)
            self._keep(replace(told, lines=tuple(lines)))

    def time_of(self, frame: Frame) -> datetime:
        """When a frame was taken, by the local clock; one of a film, when it was looked at."""
        return datetime.now().astimezone() - timedelta(seconds=self._source.now() - frame.taken)

    @property
    def busy(self) -> bool:
        """True while the voice speaks for longer than a caption takes: one that was made now would
        be old when its turn comes."""
        return self._speaker is not None and self._speaker.quiet_in(self._source.at) > self._lead_s

    def _keep(self, caption: Caption) -> None:
        self.latest, self.answered = caption.line, caption.question
        if caption.question is None:
            self.count += 1
            # In the place of an earlier one in the same words.
            words = words_of(caption.line)
            self._told.pop(words, None)
            self._told[words] = self._clock(), caption.line
            if len(self._told) > RECAP_LENGTH:
                del self._told[next(iter(self._told))]
        for output in self._outputs:
            output.write(caption)

    def _speak(self, text: str) -> bool:
        """Hand a sentence to the voice, unless that was hushed meanwhile; False when it was not."""
        if self._silenced:
            return False
        self._begun = True
        return self._say(text)

    # -- anything else that is said

    def announce(self, sentence: str, shown: bool = True) -> None:
        """Log and say something that is no caption. shown: to the outputs, too."""
        log.info(sentence)
        for output in self._outputs if shown else ():
            output.announce(sentence)
        self._last = set()  # After this, what is in view is worth a word again.
        self._say(sentence)

    def sound(self, sound: Sound) -> None:
        """Play a sound before what is said next, where there is a voice."""
        if self._speaker is not None:
            self._speaker.play(sound)

    def looking(self, on: bool) -> None:
        """on: something to say is being waited for, and it is heard when that takes long."""
        if self._speaker is not None:
            self._speaker.looking(on)

    def again(self) -> bool:
        """Say the last caption once more; False when there is none, or nothing to say it with."""
        return bool(self.latest) and self._say(self.latest)

    def recap(self) -> str:
        """The captions of the last minutes, each with how long ago it was said last."""
        now = self._clock()
        parts = [
            f"{ago(now - when)}: {text}"
            for when, text in self._told.values()
            if now - when <= RECAP_S
        ]
        return " ".join(parts) or "Nothing was said in the last ten minutes."

    @property
    def has_voice(self) -> bool:
        """False where there is nothing to speak with."""
        return self._speaker is not None and self._speaker.audible

    def hush(self) -> None:
        """Fall silent at once, for the rest of the caption or answer in the making as well."""
        self._silenced = True
        if self._speaker is not None:
            self._speaker.hush()

    def mute(self, muted: bool) -> None:
        """Go on as text alone, or speak again."""
        if self._speaker is not None:
            self._speaker.mute(muted)

    def cut_short(self) -> None:
        """Speak no more of the caption or answer in the making, if any of it was spoken."""
        self._silenced = self._silenced or self._begun

    def wait_until_quiet(self) -> None:
        """Let what is being said come to its end."""
        if self._speaker is not None:
            self._speaker.wait_until_quiet()

    def _say(self, text: str) -> bool:
        if self._speaker is None:
            return False
        return self._speaker.say(text, self.count, self._source.at)
