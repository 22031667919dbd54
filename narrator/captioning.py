"""Which frame is described, and how: a frame or a question becomes a query, the engine answers it
piece by piece, and each piece goes into the caption in the making."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from narrator.attempts import Attempts
from narrator.commands import Commands, Request
from narrator.comparing import compared
from narrator.conditions import LOOKS
from narrator.engines.engine import Engine, Piece, Query, Turn
from narrator.errors import CaptionCancelled, OnlyThoughts, UsageError
from narrator.frames.frame import Frame
from narrator.narration import Draft, Narrator
from narrator.options import Options
from narrator.outputs.output import Alert
from narrator.scene.scene import Scene
from narrator.speech.sounds import Sound
from narrator.text import printable, without_marks
from narrator.wording import Cleaner

if TYPE_CHECKING:
    from narrator.reading.page import Page

log = logging.getLogger(__name__)

MOMENT_S = 0.05  # to wait for a frame
FRESH_S = 1.0  # a question is answered from no older frame, where there can be a newer one
MORE_TOKENS = 200
FOLLOW_UP_S = 60.0  # an answer that is older is not what a question follows
# A bare "it" is what is in view: "What is it?" after "Is there a circle?" asks for no circle.
FOLLOWS = re.compile(r"(and|what about|how about)\b", re.IGNORECASE)
REREAD_S = 2.0  # text may change where the scene gate sees no change, such as a page that is turned


class Captioner:
    """Has frames described by an engine, one at a time, and answers what was asked; without an
    engine it reads the text in them."""

    def __init__(
        self,
        engine: Engine | None,
        options: Options,
        scene: Scene,
        narrator: Narrator,
        commands: Commands,
        attempts: Attempts,
    ) -> None:
        self._engine, self._options = engine, options
        self._source, self._scene = narrator.source, scene
        self._narrator, self._commands = narrator, commands
        self._conditions, self.attempts = commands.conditions, attempts
        self._read_at = 0.0  # by the source's clock
        self._turn: tuple[float, Turn | None] = 0.0, None  # when it was answered, and how

    @property
    def finished(self) -> bool:
        """True behind the last frame of a file, never in a pause; and after --limit captions."""
        return self.enough or (self._source.ended and not self._commands.paused)

    @property
    def enough(self) -> bool:
        """True after --limit captions."""
        limit = self._options.limit
        return limit is not None and self._narrator.history.count >= limit

    # -- which frame

    def next_frame(self, timeout: float = MOMENT_S) -> Frame | None:
        """The source's newest frame, if one comes in time and it is not paused; what becomes of the
        source is announced."""
        if self._commands.paused:
            self._narrator.speaker.looking(False)
            self._narrator.show(self._scene.frame)
            time.sleep(timeout)
            return None
        frame = self._source.newest(timeout)
        for message in self._source.messages():
            if self._source.lost:
                self._narrator.sound(Sound.TROUBLE)
            self._narrator.announce(message)
            self._scene.frame = None
        self._narrator.speaker.looking(self._source.lost or self.attempts.unavailable)
        self._narrator.show(frame or self._scene.frame)
        return frame

    def wants(self, frame: Frame) -> bool:
        """Look at a frame, and tell whether it is worth a caption: it can be read, it differs from
        the one described last, and the voice has time."""
        scene, source = self._scene, self._source
        self._look(frame)
        # That the engine is back is worth a caption, whatever is in view.
        unavailable = self.attempts.unavailable
        due = self.attempts.due if unavailable else scene.changed
        if self._engine is None:
            due = due or source.now() - self._read_at >= REREAD_S
        if not self._conditions.all:
            due = due and not self._narrator.busy
            due = due and not self._narrator.captioned_within(self._options.every)
        elif not unavailable:
            due = self._conditions.due(due, source.now())
        return due and scene.readable

    def _look(self, frame: Frame) -> None:
        sentence = self._scene.look(frame, last=self._source.ended)
        if sentence is not None:
            self._narrator.announce(sentence)
        if not self._scene.readable:
            self._source.forget_clip()  # What was before the dark is not one scene with the rest.

    def _in_view(self) -> Frame | None:
        """What is in view now: where the last frame is old, the next one, unless the source is
        lost."""
        while not self._source.ended:
            if (frame := self.next_frame(0.2)) is not None:
                self._look(frame)
            last = self._scene.frame
            if last is None or time.monotonic() - last.taken < FRESH_S:
                break
        return self._scene.frame

    # -- what is done with it

    def caption(self, frame: Frame) -> None:
        """Describe a frame; where there are conditions, look for those alone. Raises EngineError
        when the engine fails again and again, and StopRequested."""
        work = self._look_for if self._conditions.all else self._describe
        self.attempts.make(lambda: work(frame), None, asked=False)

    def answer(self, request: Request) -> None:
        """Answer what was asked from what is in view now, or say why that can't be done."""
        frame, scene = self._in_view(), self._scene
        if frame is None:
            self._narrator.announce("No picture right now.")
            return
        if scene.problem is not None and not (scene.readable or request.read):
            self._narrator.announce(scene.problem.value)
            return
        if request.question and not (request.detail or request.said):
            log.info(f"> {request.question}")  # or nobody could tell an answer from a caption
        if request.detail:
            self._narrator.announce("Looking closely.", shown=False)
        else:
            self._narrator.sound(Sound.ANSWER)
        work = self._compare if request.said else self._describe
        self.attempts.make(lambda: work(frame, request), request.question, asked=True)

    def _describe(
        self, frame: Frame, request: Request | None = None, alert: Alert | None = None
    ) -> None:
        asked, can_wait = request or Request(), request is None and alert is None
        question, narrator = asked.question, self._narrator
        about = (question, request is not None, alert, self._scene.moving)
        try:
            with narrator.caption(frame, *about) as caption:
                if self._engine is None or asked.read:
                    self._read_at = self._source.now()
                    page = page_of(frame)
                    for sentence in page.sentences():
                        self._attend(can_wait)
                        caption.read(sentence)
                    caption.lines = page.lines
                else:
                    self._generate(self._engine, self._query(frame, asked), caption, can_wait)
        except OnlyThoughts:
            if question is None:  # It would think about the next frame for as long.
                self._scene.set_reference(frame)
            raise
        if question is None:
            self._scene.set_reference(frame)
        elif asked.prompt and not (asked.detail or asked.read):
            self._turn = time.monotonic(), (asked.prompt, without_marks(narrator.history.latest))

    def _query(self, frame: Frame, request: Request) -> Query:
        options, prompt = self._options, request.prompt or self._options.prompt
        if request.detail:
            return Query([frame], prompt, max(options.max_tokens, MORE_TOKENS), detail=True)
        answered_at, turn = self._turn
        follows = FOLLOWS.match(request.question or "") and not request.said
        before = turn if follows and time.monotonic() - answered_at < FOLLOW_UP_S else None
        clip = self._source.clip_to(frame)
        return Query(clip, prompt, options.max_tokens, options.detail, before)

    def _generate(self, engine: Engine, query: Query, caption: Draft, can_wait: bool) -> None:
        try:
            for piece in engine.describe(query):
                self._attend(can_wait)
                if piece.notice:
                    self._narrator.announce(piece.notice, shown=False)
                caption.add(piece)
                if caption.complete:
                    break
        except UsageError:  # a model without tiles, which nobody asked for with --detail
            if self._options.detail or not query.detail:
                raise
            self._generate(engine, replace(query, detail=False), caption, can_wait)

    def _attend(self, can_wait: bool) -> None:
        """Between two pieces, do what was typed and bring the outputs up to date. can_wait: what is
        asked comes before this caption."""
        self._narrator.show(self._source.peek() or self._scene.frame)
        self._commands.check()
        # A picture, or the last frame of a film, has no other turn to be described.
        if can_wait and self._commands.asked and not self._source.ended:
            raise CaptionCancelled

    def _compare(self, frame: Frame, request: Request) -> None:
        """Say whether a second look agrees with what was said before. It is closer, as the same
        picture twice would get the same words."""
        assert self._engine is not None  # or it would have been read once more
        query = self._query(frame, request)
        pieces: list[Piece] = []
        for piece in self._engine.describe(
            replace(query, clip=[one.closer() for one in query.clip])
        ):
            self._attend(can_wait=False)
            pieces.append(piece)
        again = Cleaner().add("".join(piece.text for piece in pieces), ended=True)
        self._narrator.announce(printable(compared(request.said, again)))

    def _look_for(self, frame: Frame) -> None:
        """Look for what --when names; where something has come into view, describe the frame."""
        assert self._engine is not None  # or there could be no conditions
        questions = [one.question for one in self._conditions.all]
        query = replace(self._query(frame, Request()), clip=[frame])
        likely = self._engine.likelihoods(query, questions)
        looks = LOOKS if self._source.ended else 1  # The last frame of a file has no other turn.
        found = [one for _ in range(looks) for one in self._conditions.look(likely, frame.taken)]
        self._scene.set_reference(frame)
        for number, (condition, probability) in enumerate(found):
            # The first caption is said whatever was said before, the others are of the same frame.
            request = Request() if number == 0 else None
            self._describe(frame, request, Alert(condition.text, probability))


def page_of(frame: Frame) -> Page:
    """The text in a frame. The reader is imported only where something is read."""
    from narrator.reading.opening import open_reader
    from narrator.reading.page import Page

    return Page(open_reader(), frame.image)
