"""Makes README's pictures anew: python tools/pictures.py

pictures/preview.png is what --preview shows of the drawn clip, with the caption that the small
checkpoint really gives; pictures/terminal.svg is a real session. flow.svg is drawn by hand.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from html import escape
from pathlib import Path

import cv2

sys.path.extend(str(Path(__file__).resolve().parents[1] / part) for part in (".", "tests"))

import pete_sounds
from support.program import ROOT

FOLDER = ROOT / "pictures"
PROMPT = pete_sounds.DEFAULT_PROMPT
COMMAND = ["pete_sounds.py", "--demo", "--mute", "--limit", "5"]


def frame_of_demo(caption: str) -> pete_sounds.Frame:
    """The frame of the drawn clip in the middle of the rest that this caption is true of."""
    rests = json.loads((pete_sounds.DEMO / "demo.json").read_text("utf-8"))
    rest = next(rest for rest in rests if rest["caption"] == caption)
    capture = cv2.VideoCapture(str(pete_sounds.DEMO / "demo.mp4"))
    capture.set(cv2.CAP_PROP_POS_MSEC, 500 * (rest["start"] + rest["end"]))
    good, image = capture.read()
    assert good
    return pete_sounds.Frame(image, time.monotonic(), 0.0)


def make_preview(path: Path) -> None:
    """The preview of one frame, drawn and described by the program's own parts."""
    choice = pete_sounds.choose_engine("auto", None)
    pete_sounds.import_packages(choice.name)
    weights = pete_sounds.find_weights(str(pete_sounds.DEMO), choice.weights())
    engine = pete_sounds.open_engine(choice, weights, pete_sounds.DEFAULT_MAX_TOKENS)
    frame = frame_of_demo("A yellow star at the bottom right.")
    "".join(engine.describe([frame], PROMPT))  # The first one takes longer.
    started = time.monotonic()
    caption = "".join(engine.describe([frame], PROMPT))
    status = pete_sounds.Status(engine.label, time.monotonic() - started, speaking=True)
    canvas = pete_sounds.draw_preview(frame.image, caption, status)
    pete_sounds.rgb_picture(canvas).save(path, optimize=True)


def make_terminal(path: Path) -> None:
    """A session as a terminal shows it, as an SVG of text."""
    answer = subprocess.run(
        [sys.executable, *COMMAND],
        cwd=ROOT,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
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
    FOLDER.mkdir(exist_ok=True)
    make_preview(FOLDER / "preview.png")
    make_terminal(FOLDER / "terminal.svg")
