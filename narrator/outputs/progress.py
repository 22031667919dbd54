"""How far a film is described, and what became of it in the end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from narrator.redrawing import may_redraw
from narrator.text import minutes

log = logging.getLogger(__name__)
LINE_EVERY_S = 60.0  # of a film of unknown length


class Progress:
    """A bar where one may be drawn, else a line for each tenth of the film.

    length: gives its length in seconds, which may become more exact as it is read, or None.
    """

    def __init__(self, length: Callable[[], float | None]) -> None:
        from tqdm import tqdm  # It takes a while to import.

        self._length, self._logged_at = length, 0.0
        tqdm.monitor_interval = 0  # no thread of its own
        tqdm.set_lock(threading.RLock())  # nor a process for a lock between processes
        known = "{percentage:3.0f} %|{bar}| {n:.0f} of {total:.0f} s, {remaining} left"
        shown = known if length() else "{n:.0f} s of the film in {elapsed}"
        # disable=None: where stderr is no terminal.
        disable = None if may_redraw() else True
        options = {"dynamic_ncols": True, "leave": False, "disable": disable}
        self._bar = tqdm(total=length(), bar_format=shown, **options)
        self.close = self._bar.close

    def show(self, at: float) -> None:
        """at: the second of the film that has been seen."""
        length = self._length()
        if length:  # A film may be longer than its file says.
            self._bar.total = max(length, at)
        self._bar.update(at - self._bar.n)
        if self._bar.disable and at - self._logged_at >= (length / 10 if length else LINE_EVERY_S):
            self._logged_at = at
            log.info(f"described {minutes(at)}" + (f" of {minutes(length)}" if length else ""))


def report(vtt: str, seen: float, took: float, announced: float | None = None) -> None:
    """Log what became of a film. seen: how much of it was described, in seconds. took: how long
    that took. announced: its length by its file, where its end was reached."""
    if announced and seen < 0.95 * announced - 1:
        log.info(f"the film can't be read beyond {minutes(seen)} of {minutes(announced)}")
    log.info(f"{vtt} is written: {minutes(seen)} of film took {minutes(took)}")
