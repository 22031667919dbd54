"""A caption in the making: pieces of text become sentences, each goes to the voice as soon as it is
whole, and the caption to the outputs at its end.

Where the pieces come from, and which frame is worth a caption, is not known here.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from statistics import geometric_mean

from narrator.engines.engine import Piece
from narrator.errors import OnlyThoughts
from narrator.frames.frame import Frame
from narrator.frames.source import Source
from narrator.history import History
from narrator.outputs.output import Alert, Caption, Output
from narrator.repeats import Repeats
from narrator.speech.sounds import Sound
from narrator.speech.speaker import Speaker
from narrator.text import TextLine, capitalised, printable, words_of
from narrator.wording import PlainSentences

log = logging.getLogger(__name__)

LEAST = 1e-9  # for a probability that was rounded to 0, as a geometric mean knows none


class Narrator:
    """Speaks and prints captions, and whatever else there is to say.

    source: whose clock the frames are on. clock: the wall clock, in seconds. every_caption: print
    a caption even where it only repeats the last one.
    """

    def __init__(
        self,
        source: Source,
        speaker: Speaker,
        outputs: Sequence[Output],
        clock: Callable[[], float] = time.monotonic,
        repeat_after_s: float = 60.0,
        every_caption: bool = False,
    ) -> None:
        self.source, self.speaker, self._outputs = source, speaker, outputs
        self.clock, self.every_caption = clock, every_caption
        self.history, self.repeats = History(clock), Repeats(repeat_after_s)
        self._captioned_at = -math.inf  # by the source's clock
        self.lead_s = 0.0  # from the start on a frame to its first sentence, the last time
        self._draft: Draft | None = None

    # -- captions

    @contextlib.contextmanager
    def caption(
        self,
        frame: Frame,
        question: str | None = None,
        asked: bool = False,
        alert: Alert | None = None,
        moving: bool = False,
    ) -> Iterator[Draft]:
        """Make a caption of a frame: `with narrator.caption(frame) as caption: caption.add(piece)`.
        At the end of the block its last sentence is spoken and the caption printed; an exception
        drops it. Raises RuntimeError where there is no text.

        question: what this answers. asked: speak it even where it repeats what was said. alert:
        what it is an alert for, which is said first. moving: the scene does not rest, see Repeats.
        """
        if asked:
            self.repeats.forget()
        self.repeats.moving = moving
        self._draft = Draft(self, frame, question, asked, alert)
        try:
            yield self._draft
            self._draft.finish()
        finally:
            self._draft = None

    def keep(self, caption: Caption) -> None:
        """Print a caption, and remember it."""
        self.history.keep(caption)
        if caption.question is None:
            self._captioned_at = self.source.now()
        for output in self._outputs:
            output.write(caption)

    def time_of(self, frame: Frame) -> datetime:
        """When a frame was taken, by the local clock; for a film, when it was described."""
        return datetime.now().astimezone() - timedelta(seconds=self.source.now() - frame.taken)

    @property
    def busy(self) -> bool:
        """True while the voice speaks for longer than a caption takes: one that was made now would
        be old when its turn comes."""
        return self.speaker.quiet_in(self.source.at) > self.lead_s

    def captioned_within(self, seconds: float) -> bool:
        """True when the last caption is no older than that, by the source's clock."""
        return self.source.now() - self._captioned_at < seconds

    def cut_short(self) -> None:
        """Speak no more of the caption in the making, if any of it was spoken."""
        if self._draft is not None:
            self._draft.cut_short()

    def hush(self) -> None:
        """Fall silent at once, for the rest of the caption in the making as well."""
        if self._draft is not None:
            self._draft.silenced = True
        self.speaker.hush()

    # -- anything else that is said and shown

    def announce(self, sentence: str, shown: bool = True) -> None:
        """Log and say something that is no caption. shown: to the outputs, too."""
        log.info(sentence)
        for output in self._outputs if shown else ():
            output.announce(sentence)
        self.repeats.forget()  # After this, what is in view is worth a word again.
        self.say(sentence)

    def sound(self, sound: Sound) -> None:
        """Play a sound before what is said next."""
        self.speaker.play(sound)

    def say(self, text: str) -> bool:
        """Hand a text to the voice; False where it will not be heard."""
        return self.speaker.say(text, self.history.count, self.source.at)

    def show(self, frame: Frame | None) -> None:
        """Let the outputs show what is in view. Raises StopRequested where nobody is left."""
        for output in self._outputs:
            output.show(frame)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """While the engine works, the outputs show that; what takes long is heard, too, until
        speaker.looking(False)."""
        self.speaker.looking(True)
        for output in self._outputs:
            output.looking(True)
        try:
            yield
        finally:
            for output in self._outputs:
                output.looking(False)


class Draft:
    """A caption in the making. silenced: no more of it is spoken. lines: those of text that is
    read."""

    def __init__(
        self,
        narrator: Narrator,
        frame: Frame,
        question: str | None,
        asked: bool,
        alert: Alert | None,
    ) -> None:
        self._narrator, self._asked = narrator, asked
        self._started, self._began = narrator.clock(), narrator.source.now()
        self._sentences = PlainSentences()
        self._probabilities: list[float] = []  # of the tokens
        self._said: list[tuple[str, bool]] = []  # each sentence, and whether it is news
        self.silenced = False
        self.lines: Sequence[TextLine] | None = None
        spoken = False
        if alert is not None:
            narrator.sound(Sound.ALERT)
            spoken = narrator.say(f"{capitalised(alert.when)}.")
        time = narrator.time_of(frame)
        self._caption = Caption(frame, time, "", 0.0, 0.0, 0.0, spoken, question, alert=alert)

    @property
    def complete(self) -> bool:
        """True once the model goes round in circles: nothing new will come."""
        return self._sentences.looping

    def add(self, piece: Piece) -> None:
        """Take what the engine says next; a sentence that is whole now is spoken."""
        if piece.text and not self._caption.first_token_s:
            self._caption = replace(self._caption, first_token_s=self._seconds())
        if piece.probability is not None:
            self._probabilities.append(piece.probability)
        self._describe(self._sentences.add(piece.text, piece.cut))

    def read(self, sentence: str) -> None:
        """Take a sentence of text that is read word for word. sentence: printable."""
        if not self._said:
            self._caption = replace(self._caption, first_token_s=self._seconds())
        self._take(sentence, self._asked or self._narrator.repeats.is_new_text(sentence))

    def cut_short(self) -> None:
        """Speak no more of it, if any of it was spoken."""
        self.silenced = self.silenced or self._caption.spoken

    def finish(self) -> None:
        """Speak the last sentence, and hand the caption on if anything in it is news. Raises
        RuntimeError where there is no text, and OnlyThoughts."""
        self._describe(self._sentences.end())
        if self._sentences.thought and not self._said:
            raise OnlyThoughts
        if not self._said:
            raise RuntimeError("the model had nothing to say")
        narrator, caption, lines = self._narrator, self._caption, None
        sentences = [text for text, _ in self._said]
        if self.lines is None:
            narrator.repeats.described(sentences)
            confidence = confidence_of(self._probabilities)
        else:
            narrator.repeats.read(sentences)
            lines = tuple(self.lines)
            confidence = min((line.confidence for line in lines), default=None)
        is_news = self._asked or caption.alert is not None or any(news for _, news in self._said)
        if is_news or narrator.every_caption:
            made = replace(caption, text=" ".join(sentences), confidence=confidence)
            time = narrator.time_of(caption.frame)
            narrator.keep(replace(made, time=time, caption_s=self._seconds(), lines=lines))

    def _seconds(self) -> float:
        return self._narrator.clock() - self._started

    def _describe(self, sentences: Iterable[str]) -> None:
        repeats, source = self._narrator.repeats, self._narrator.source
        for text in filter(None, map(printable, sentences)):
            if words_of(text) in [words_of(said) for said, _ in self._said]:
                self._sentences = PlainSentences()  # Nothing of the rest is of use.
                self._sentences.looping = True
                return
            is_news = not repeats.is_repeat(text, now := source.now())
            if is_news:
                repeats.spoken(text, now)
            self._take(text, is_news)

    def _take(self, text: str, is_news: bool) -> None:
        now = self._narrator.source.now()
        if not self._said:
            self._narrator.lead_s = now - self._began
            self._caption = replace(self._caption, frame_age_s=now - self._caption.frame.taken)
        if is_news and not self.silenced and self._narrator.say(text):
            self._caption = replace(self._caption, spoken=True)
        self._said.append((text, is_news))


def confidence_of(probabilities: Sequence[float]) -> float | None:
    """How predictable the words of a caption were, which is not how true they are: the geometric
    mean of its tokens' probabilities, from 0 to 1; None where the engine gives none."""
    return geometric_mean([max(one, LEAST) for one in probabilities]) if probabilities else None
