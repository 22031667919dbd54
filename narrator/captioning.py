"""A frame is captioned, whatever the engine does: unavailable engines are waited for, faults cost
their frame and are counted, and a caption in the making gives way to a question."""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from narrator.backoff import Backoff
from narrator.commands import Commands, Request
from narrator.conditions import LOOKS
from narrator.doubt import compared
from narrator.engines.engine import Engine, Piece, Turn
from narrator.errors import (
    CaptionCancelled,
    EngineError,
    EngineUnavailable,
    OnlyThoughts,
    PeteError,
    UsageError,
    reason_of,
)
from narrator.frames.frame import Frame
from narrator.narration import Narrator
from narrator.options import Options
from narrator.outputs.output import Alert
from narrator.speech.sounds import Sound
from narrator.text import printable, without_marks, words_of
from narrator.view import View
from narrator.wording import Cleaner

log = logging.getLogger(__name__)

MAX_FAULTS = 3  # frames in a row that the engine may fail on before the program ends
MORE_TOKENS = 200
FOLLOW_UP_S = 60.0  # an answer that is older is not what a question follows
POINTING = re.compile(r"^and\b|\b(it|its|they|them|their|he|him|his|she|her|that|this|those)\b")
SHORT = 3  # words

REREAD_S = 2.0  # text may change where the scene gate sees no change, such as a page that is turned

T = TypeVar("T")


class Captioner:
    """Has frames captioned by an engine, one at a time, and answers what was asked; without an
    engine it reads the text in them."""

    def __init__(
        self,
        engine: Engine | None,
        options: Options,
        view: View,
        narrator: Narrator,
        commands: Commands,
        backoff: Backoff | None = None,
        follow_up_s: float = FOLLOW_UP_S,
    ) -> None:
        self._engine, self._options = engine, options
        self._view, self._narrator, self._commands = view, narrator, commands
        self._backoff = backoff or Backoff()  # counts how often the engine was unavailable
        self._faults = 0  # frames in a row
        self._thoughts_told = False
        self._answering = False
        self._follow_up_s = follow_up_s
        self._turn: tuple[float, Turn | None] = 0.0, None  # when it was answered, and how
        self._read_at = 0.0  # by the source's clock

    @property
    def unavailable(self) -> bool:
        """True while the engine is waited for."""
        return self._backoff.tries > 0

    @property
    def wants_frame(self) -> bool:
        """True when the frame that was looked at last is worth a caption now: it can be read, it
        differs from the one described last, and the voice has time."""
        # That the engine is back is worth a caption, whatever is in view.
        due = self._backoff.wait_s() == 0 if self.unavailable else self._view.scene.changed
        conditions = self._commands.conditions
        if self._engine is None:
            due = due or self._view.source.now() - self._read_at >= REREAD_S
        if not conditions.all:
            due = due and not self._narrator.busy
        elif not self.unavailable:
            due = conditions.due(due, self._view.source.now())
        return due and self._view.scene.readable

    def look(self, frame: Frame) -> None:
        """Describe a frame; or where something is waited for, tell of that alone. Raises
        EngineError when the engine fails again and again, and StopRequested."""
        if self._commands.conditions.all:
            self._persist(lambda: self._look_out(frame))
        else:
            self._persist(lambda: self._describe(frame))

    def _persist(self, work: Callable[[], None], request: Request | None = None) -> None:
        """Try it once; on a frame of a film again, until the engine is back."""
        self._try(work, request)
        while self.unavailable and self._view.source.is_film:
            while self._backoff.wait_s() > 0:
                self._view.refresh()
                time.sleep(min(0.1, self._backoff.wait_s()))
            self._try(work, request)

    def answer(self, request: Request) -> None:
        """Answer what was asked from what is in view now, or say why that can't be done."""
        frame = self._view.fresh()
        if frame is None:
            self._narrator.announce("There is no picture just now.")
        elif self._view.problem is not None and not request.read:
            self._narrator.announce(self._view.problem)
        else:
            if request.question and not (request.detail or request.said):
                log.info(f"> {request.question}")  # or nobody could tell an answer from a caption
            if not request.detail:  # That is told in words.
                self._narrator.sound(Sound.ANSWER)
            with self._undisturbed():
                do = self._compare if request.said else self._describe
                self._persist(lambda: do(frame, request), request)

    @contextlib.contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """What is asked meanwhile has to wait."""
        self._answering = True
        try:
            yield
        finally:
            self._answering = False

    def _describe(
        self, frame: Frame, request: Request | None = None, alert: Alert | None = None
    ) -> None:
        asked = request or Request()
        if self._engine is None or asked.read:
            self._read(frame, asked.question, asked=request is not None)
        else:
            try:
                self._narrator.narrate(
                    frame,
                    self._attended(self._pieces(frame, asked)),
                    asked.question,
                    asked=request is not None,
                    look_again=None if asked.detail else lambda: self._look_again(frame, asked),
                    alert=alert,
                )
            except OnlyThoughts as error:
                self._tell_thoughts(error, again=request is not None)
                if request is not None:
                    return
        if asked.question is None:
            self._view.scene.set_reference(frame)
        elif asked.prompt and not (asked.detail or asked.read):
            self._turn = time.monotonic(), (asked.prompt, without_marks(self._narrator.latest))

    def _tell_thoughts(self, error: OnlyThoughts, again: bool) -> None:
        """Say once that the model thinks for too long, or for each question."""
        if self._view.source.ended:
            raise EngineError(str(error))
        if again or not self._thoughts_told:
            self._thoughts_told = True
            self._narrator.announce(str(error))

    def _read(self, frame: Frame, question: str | None, asked: bool) -> None:
        from narrator.reading.opening import open_reader
        from narrator.reading.page import Page

        self._read_at = self._view.source.now()
        page = Page(open_reader(), frame.image)
        sentences = self._attended(page.sentences())
        self._narrator.read(frame, sentences, page.lines, question, asked)

    def _look_again(self, frame: Frame, request: Request) -> str:
        """What is said of the next frame, or of this one where there is none yet. It is looked at
        closer, as the same picture twice would get the same words."""
        newer = self._view.source.peek() or frame
        pieces = self._attended(self._pieces(newer, request, closer=True))
        return Cleaner().add("".join(piece.text for piece in pieces), ended=True)

    def _compare(self, frame: Frame, request: Request) -> None:
        """Tell whether a second look agrees with what was said before."""
        again = self._look_again(frame, request)
        self._narrator.announce(printable(compared(request.said, again)))

    def _look_out(self, frame: Frame) -> None:
        """Look for all that is waited for; what has come into view is told, and the frame described
        for it."""
        view, conditions = self._view, self._commands.conditions
        questions = [one.question for one in conditions.all]
        assert self._engine is not None  # or nothing could be waited for
        likely = self._engine.likelihoods(frame, questions, self._options.detail)
        looks = LOOKS if view.source.ended else 1  # The last frame of a file has no other turn.
        found = [one for _ in range(looks) for one in conditions.look(likely, frame.taken)]
        view.scene.set_reference(frame)
        for number, (condition, probability) in enumerate(found):
            # The first caption is said whatever was said before, the others are of the same frame.
            request = Request() if number == 0 else None
            with self._undisturbed():
                self._describe(frame, request, Alert(condition.text, probability))

    def _try(self, work: Callable[[], None], request: Request | None) -> None:
        preview = self._view.preview
        self._narrator.looking(True)  # until the view takes the next frame
        try:
            with contextlib.nullcontext() if preview is None else preview.looking():
                work()
        except CaptionCancelled:
            pass  # What was asked is answered next.
        except PeteError:
            raise
        except EngineUnavailable as error:
            self._wait_for_engine(error, request)
        except Exception as error:
            self._count_fault(error, None if request is None else request.question)
        else:
            self._faults = 0
            if self.unavailable:
                self._backoff.reset()
                self._view.engine_lost = False
                self._narrator.announce("The server is back.")

    def _pieces(self, frame: Frame, request: Request, closer: bool = False) -> Iterator[Piece]:
        assert self._engine is not None  # or nothing could be asked
        options, describe = self._options, self._engine.describe
        prompt = request.prompt or options.prompt
        if not request.detail:
            clip = self._view.source.clip_to(frame)
            if closer:
                clip = [one.closer() for one in clip]
            before = self._turn_before(request)
            yield from describe(clip, prompt, options.max_tokens, options.detail, before)
            return
        self._narrator.announce("Looking closely.", shown=False)
        max_tokens = max(options.max_tokens, MORE_TOKENS)
        try:
            yield from describe([frame], prompt, max_tokens, True)
        except UsageError:  # a model that does not look at tiles
            yield from describe([frame], prompt, max_tokens, False)

    def _turn_before(self, request: Request) -> Turn | None:
        """The last question and its answer, where this is one that may follow them: it points at
        something, or is no whole question. Before any other they would only distract."""
        answered_at, turn = self._turn
        asked = words_of(request.question or "")
        follows = POINTING.search(asked) is not None or len(asked.split()) < SHORT
        is_fresh = time.monotonic() - answered_at < self._follow_up_s
        return turn if asked and follows and is_fresh and not request.said else None

    def _attended(self, pieces: Iterator[T]) -> Iterator[T]:
        """The same pieces; between them the preview is kept alive, and what was typed is done."""
        for piece in pieces:
            if isinstance(piece, Piece) and piece.notice:
                self._narrator.announce(piece.notice, shown=False)
            self._view.refresh()
            self._commands.check()
            # A picture, or the last frame of a film, has no other turn to be described.
            if self._commands.asked and not self._answering and not self._view.source.ended:
                raise CaptionCancelled
            yield piece

    def _wait_for_engine(self, error: EngineUnavailable, request: Request | None) -> None:
        """Tell once that the engine is unavailable; it is tried again after growing pauses."""
        if self._view.source.ended:
            raise EngineError(str(error))
        self._backoff.failed(error.retry_after_s)
        self._view.engine_lost = True
        if self._backoff.tries == 1:
            log.info(str(error))
            self._narrator.sound(Sound.TROUBLE)
            self._narrator.announce(f"The server {error.trouble}; trying again.")
        else:
            log.debug(str(error))
        if request is not None:
            self._narrator.announce(f"That can't be answered: the server {error.trouble}.")

    def _count_fault(self, error: Exception, question: str | None) -> None:
        log.debug("", exc_info=error)
        if question is not None:
            # The question may be the cause; if it is the engine, captions will show it.
            self._narrator.sound(Sound.TROUBLE)
            self._narrator.announce(f"That can't be answered: {reason_of(error)}")
            return
        self._faults += 1
        if self._faults >= MAX_FAULTS or self._view.source.ended:
            raise EngineError(
                f"the engine failed on {self._faults} frames in a row; the last time: "
                f"{reason_of(error)}"
            ) from error
        log.info(f"a frame could not be described: {reason_of(error)}")
