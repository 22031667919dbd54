"""Sound files: their format, and playing one."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence

from narrator.settings import SAMPLE_RATE
from narrator.text import printable

# As wave.setparams takes it: channels, bytes a sample, samples a second, and no length yet.
WAV_FORMAT = (1, 2, SAMPLE_RATE, 0, "NONE", "not compressed")
SPOKEN = "spoken.wav"  # what was said last, in the folder that a voice shares with its child


def play(
    command: Sequence[str],
    began: Callable[[subprocess.Popen[str]], None] = lambda player: None,
    timeout_s: float | None = None,
) -> str | None:
    """Run a player or converter to its end. Returns its complaint, or None. began: gets it, to end
    it sooner. timeout_s: after which it is ended here."""
    try:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            errors="replace",
        ) as player:  # fmt: skip
            began(player)
            try:
                _, told = player.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                player.kill()
                return f"{command[0]} does not come to an end"
    except FileNotFoundError:
        return f"{command[0]} is not installed (./install.sh says how)"
    if player.returncode == 0:
        return None
    complaint = told.strip().splitlines() or ["it failed"]
    # aplay says which line of its own source complains; nobody wants to hear that.
    return printable(re.sub(r"^\w+: \w+:\d+: ", f"{command[0]}: ", complaint[-1]))[:160]
