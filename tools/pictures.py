"""Makes README's pictures anew: python tools/pictures.py

pictures/preview.png is what --preview shows of the drawn clip, with the caption that the small
checkpoint really gives; pictures/terminal.svg is a real session. flow.svg is drawn by hand.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html import escape
from pathlib import Path

import cv2
import numpy as np

from measuring import read_options
from narrator.frames.frame import Frame
from narrator.outputs.drawing import draw_preview
from narrator.settings import DEMO
from support.program import ROOT

FOLDER = ROOT / "pictures"
COMMAND = ["pete_sounds.py", "--demo", "--mute", "--limit", "5"]
SHOWN = "A yellow star at the bottom right."


def run(*arguments: str, stderr: int = subprocess.STDOUT) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def frame_of_demo(caption: str) -> np.ndarray:
    """The frame (BGR) of the drawn clip in the middle of the rest that this caption is true of."""
    rests = json.loads((DEMO / "demo.json").read_text("utf-8"))
    rest = next(rest for rest in rests if rest["caption"] == caption)
    capture = cv2.VideoCapture(str(DEMO / "demo.mp4"))
    capture.set(cv2.CAP_PROP_POS_MSEC, 500 * (rest["start"] + rest["end"]))
    good, image = capture.read()
    assert good
    return np.asarray(image)


def make_preview(path: Path) -> None:
    """The preview of one frame, as the program describes it."""
    told = run("pete_sounds.py", "--demo", "--mute", "--json", stderr=subprocess.PIPE)
    captions = [json.loads(line) for line in told.stdout.splitlines()]
    seconds = next(each["caption_s"] for each in captions if each["caption"] == SHOWN)
    label = re.findall(r"engine: (.*) \(.*\)\n", told.stderr)[0]
    canvas = draw_preview(frame_of_demo(SHOWN), SHOWN, seconds, label, ["speaking"])
    Frame(canvas, 0.0, 0.0).rgb().save(path, optimize=True)


def make_terminal(path: Path) -> None:
    """A session as a terminal shows it, as an SVG of text."""
    answer = run(*COMMAND)
    path.write_text(terminal(" ".join(["python3", *COMMAND]), answer.stdout), "utf-8")


def terminal(command: str, answer: str) -> str:
    """An SVG of a command and its answer. The program's own remarks are dimmer than captions."""
    lines = [("#8bd5a0", f"$ {command}")]
    for line in answer.splitlines():
        lines.append(("#9aa4b2" if line.startswith("pete_sounds: ") else "#f2f4f8", line))
    text = "\n".join(
        f'<text x="20" y="{54 + 22 * row}" fill="{colour}">{escape(line)}</text>'
        for row, (colour, line) in enumerate(lines)
    )
    width = 40 + 9 * max(len(line) for _, line in lines)  # 15 px letters, 9 px wide in most fonts
    height = 54 + 22 * len(lines)
    title = escape(re.sub(r"\s+", " ", f"{command}: {answer}"))
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">
<title>{title}</title>
<rect width="{width}" height="{height}" rx="8" fill="#16181d"/>
<circle cx="20" cy="18" r="5" fill="#ff6159"/>
<circle cx="38" cy="18" r="5" fill="#ffbd2e"/>
<circle cx="56" cy="18" r="5" fill="#28c941"/>
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
 font-size="15" xml:space="preserve">
{text}
</g>
</svg>
"""


if __name__ == "__main__":
    read_options(__doc__)
    FOLDER.mkdir(exist_ok=True)
    make_preview(FOLDER / "preview.png")
    make_terminal(FOLDER / "terminal.svg")
