"""How far a film is described, and what became of it in the end."""

from __future__ import annotations

import logging
import threading
import time

from tqdm import tqdm

from narrator.redrawing import Tenths, may_redraw
from narrator.text import minutes

log = logging.getLogger(__name__)


class Progress:
    """A bar where one may be drawn, else a line every tenth, or now and then where the length, in
    seconds, is None."""

    def __init__(self, length: float | None, line_every_s: float = 30.0) -> None:
        self._length, self._line_every_s = length, line_every_s
        self._told_at, self._tenths = time.monotonic(), Tenths()
        tqdm.monitor_interval = 0  # no thread of its own
        tqdm.set_lock(threading.RLock())  # nor a process for a lock between processes
        known = "{percentage:3.0f} %|{bar}| {n:.0f} of {total:.0f} s, {remaining} left"
        shown = known if length else "{n:.0f} s of the film in {elapsed}"
        # disable=None: where stderr is no terminal.
        disable = None if may_redraw() else True
        options = {"dynamic_ncols": True, "leave": False, "disable": disable}
        self._bar = tqdm(total=length, bar_format=shown, **options)
        self.close = self._bar.close

    def show(self, at: float) -> None:
        """at: the second of the film that has been seen."""
        if self._bar.total is not None:  # A film may be longer than its file says.
            self._bar.total = max(self._bar.total, at)
        self._bar.update(at - self._bar.n)
        if self._bar.disable:
            self._tell(at)

    def _tell(self, at: float) -> None:
        if self._length:
            if percent := self._tenths.passed(at, self._length):
                of = minutes(self._length)
                log.info(f"{percent} % described: {minutes(at)} of {of}")
        elif time.monotonic() - self._told_at >= self._line_every_s:
            self._told_at = time.monotonic()
            log.info(f"described up to {minutes(at)}")


def report(vtt: str, seen: float, took: float, announced: float | None = None) -> None:
    """Tell what became of a film. seen: how much of it was described, in seconds. took: how long
    that took. announced: its length by its file, where its end was reached."""
    if announced and seen < 0.95 * announced - 1:
        log.info(f"the film can't be read beyond {minutes(seen)} of {minutes(announced)}")
    log.info(f"{vtt} is written: {minutes(seen)} of film took {minutes(took)}")
