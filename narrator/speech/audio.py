"""Sound files: their format, and playing one."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence

from narrator.settings import SAMPLE_RATE
from narrator.text import printable

# As wave.setparams takes it: channels, bytes a sample, samples a second, and no length yet.
WAV_FORMAT = (1, 2, SAMPLE_RATE, 0, "NONE", "not compressed")
SPOKEN = "spoken.wav"  # what was said last, in the folder that a voice shares with its child


def play(command: Sequence[str]) -> str | None:
    """Run a player or converter to its end. Returns its complaint, or None."""
    try:
        player = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, errors="replace"
        )
    except FileNotFoundError:
        return f"{command[0]} is not installed (./install.sh says how)"
    if player.returncode == 0:
        return None
    complaint = player.stderr.strip().splitlines() or ["it failed"]
    # aplay says which line of its own source complains; nobody wants to hear that.
    return printable(re.sub(r"^\w+: \w+:\d+: ", f"{command[0]}: ", complaint[-1]))[:160]
