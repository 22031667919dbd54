"""Counts the captions of real films, and how many arrivals and departures are described in time.

    .venv/bin/python tools/measure_calm.py FOLDER      where Debian's opencv-doc has its films:
                                                       /usr/share/doc/opencv-doc/examples/data

The program plays each film, muted, with a server that answers differently each time, so that
every caption asked for shows. What happens in vtest.avi was listed by eye, from frames half a
second apart: people at least a tenth of the picture high; an arrival is when all of somebody is in
view, a departure when nothing of them is; two who walk together are one. In time is 3 s at most, or
0.3 s before: the list is no finer.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

from measuring import read_options
from support.program import SCRIPT
from support.server import ScriptedServer, describe

FILMS = ("vtest.avi", "tree.avi", "Megamind.avi")
ARRIVALS = (2.0, 4.5, 12.0, 13.5, 22.5, 23.0, 42.5, 46.5, 51.0, 51.0, 57.5, 61.0, 66.0, 69.5)
DEPARTURES = (15.0, 21.5, 22.5, 29.0, 38.0, 40.0, 40.5, 52.5, 58.0, 62.0, 75.0)
IN_TIME_S, BEFORE_S = 3.0, 0.3


def captions(film: Path) -> list[float]:
    """The seconds of a film of which the program makes captions."""
    server, number = ScriptedServer(), itertools.count(1)
    server.answer = describe(lambda _: f"This is caption number {next(number)}.")
    command = [sys.executable, str(SCRIPT), "--mute", "--json", "--source"]
    try:
        lines = subprocess.run(
            [*command, str(film), "--engine", server.url],
            check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
        ).stdout.splitlines()  # fmt: skip
    finally:
        server.close()
    return [json.loads(line)["at"] for line in lines]


def main() -> None:
    """Play the films that are there."""
    folder = read_options(__doc__, "folder").folder
    for film in [folder / name for name in FILMS if (folder / name).exists()]:
        times = captions(film)
        print(f"{film.name}: {len(times)} captions, at {', '.join(f'{at:.1f}' for at in times)}")
        if film.name == "vtest.avi":
            events = sorted(ARRIVALS + DEPARTURES)
            late = [
                event
                for event in events
                if not any(-BEFORE_S <= at - event <= IN_TIME_S for at in times)
            ]
            print(f"  in time: {len(events) - len(late)} of {len(events)}; not those at {late}")


if __name__ == "__main__":
    main()
