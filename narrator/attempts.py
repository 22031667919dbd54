"""What happens when an engine fails: a fault costs its frame, several in a row end the program, and
an engine that is unavailable is tried again after growing pauses."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from narrator.backoff import Backoff
from narrator.errors import (
    CaptionCancelled,
    EngineError,
    EngineUnavailable,
    OnlyThoughts,
    PeteError,
    reason_of,
)
from narrator.narration import Narrator
from narrator.speech.sounds import Sound

log = logging.getLogger(__name__)

MAX_FAULTS = 3  # frames in a row that the engine may fail on before the program ends


class Attempts:
    """Has the engine work, and copes with its faults. backoff: how often it was unavailable."""

    def __init__(self, narrator: Narrator, backoff: Backoff | None = None) -> None:
        self._source, self._narrator = narrator.source, narrator
        self._backoff = backoff or Backoff()
        self._faults = 0  # frames in a row
        self._noted_thoughts = False

    @property
    def unavailable(self) -> bool:
        """True while the engine does not answer."""
        return self._backoff.tries > 0

    @property
    def due(self) -> bool:
        """True when it is time to try an engine again that was unavailable."""
        return self._backoff.wait_s() == 0

    def make(self, work: Callable[[], None], question: str | None, asked: bool) -> None:
        """Have something described, once; on a frame of a film again and again, until the engine is
        back. question, asked: as for Narrator.caption(). Raises PeteError when there is no use in
        trying again."""
        self._try(work, question, asked)
        while self.unavailable and self._source.is_film:
            while not self.due:
                self._narrator.show(None)
                time.sleep(min(0.1, self._backoff.wait_s()))
            self._try(work, question, asked)

    def _try(self, work: Callable[[], None], question: str | None, asked: bool) -> None:
        try:
            with self._narrator.at_work():
                work()
        except CaptionCancelled:
            pass  # What was asked is answered next.
        except PeteError:
            raise
        except EngineUnavailable as error:
            self._note_absence(error, asked)
        except OnlyThoughts as error:
            self._note_thoughts(error, asked)
        except Exception as error:
            self._count_fault(error, question)
        else:
            self._faults = 0
            if self.unavailable:
                self._backoff.reset()
                self._narrator.announce("The server is back.")

    def _note_absence(self, error: EngineUnavailable, asked: bool) -> None:
        """Say once that the engine is unavailable."""
        if self._source.ended:
            raise EngineError(str(error))
        self._backoff.failed(error.retry_after_s)
        if self._backoff.tries == 1:
            log.info(str(error))
            self._narrator.sound(Sound.TROUBLE)
            self._narrator.announce(f"The server {error.trouble}; trying again.")
        else:
            log.debug(str(error))
        if asked:
            self._narrator.announce(f"I can't answer that: the server {error.trouble}.")

    def _note_thoughts(self, error: OnlyThoughts, asked: bool) -> None:
        """Say that the model thinks for too long: once, and for each question."""
        if self._source.ended:
            raise EngineError(str(error))
        if asked or not self._noted_thoughts:
            self._noted_thoughts = True
            self._narrator.announce(str(error))

    def _count_fault(self, error: Exception, question: str | None) -> None:
        log.debug("", exc_info=error)
        if question is not None:
            # The question may be the cause; if it is the engine, captions will show it.
            self._narrator.sound(Sound.TROUBLE)
            self._narrator.announce(f"I can't answer that: {reason_of(error)}")
            return
        self._faults += 1
        if self._faults >= MAX_FAULTS or self._source.ended:
            raise EngineError(
                f"the engine failed on {self._faults} frames in a row; the last time: "
                f"{reason_of(error)}"
            ) from error
        log.info(f"a frame could not be described: {reason_of(error)}")
