"""Run pete_sounds.py with v4l2_camera.so on a timeline, and print what it says with its seconds.

python3 drive.py CLONE V4L2_CAMERA_SO FRAMES SECONDS 'T=control line|control line' ... -- OPTION...

At second T the control file gets these lines (none: all is unplugged). Every 10 s, and at the end,
processor time and memory of the program without its children. Ends it by SIGINT after SECONDS.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO

cut = sys.argv.index("--")
clone, library, frames, seconds = sys.argv[1:5]
steps = sorted((float(at), lines) for at, lines in (step.split("=", 1) for step in sys.argv[5:cut]))
control = os.path.join(tempfile.mkdtemp(), "cameras")


def show(text: str) -> None:
    with open(control + ".new", "w") as file:
        file.write(text.replace("|", "\n") + "\n")
    os.rename(control + ".new", control)


env = {
    **os.environ,
    "LD_PRELOAD": os.path.abspath(library),
    "PETE_CAM_CONTROL": control,
    "PETE_CAM_DIR": os.path.abspath(frames),
}
while steps and steps[0][0] <= 0:
    show(steps.pop(0)[1])
started = time.monotonic()
program = subprocess.Popen(
    ["python3", "pete_sounds.py", *sys.argv[cut + 1 :]],
    cwd=clone,
    env=env,
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
)


def say(kind: str, text: str) -> None:
    print(f"{time.monotonic() - started:7.2f} {kind} {text}", flush=True)


def relay(stream: IO[str] | None, kind: str) -> None:
    for line in stream or ():
        say(kind, line.rstrip())


def sample() -> None:
    with open(f"/proc/{program.pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    say(
        "--",
        f"cpu {(int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK'):.2f} s, "
        f"rss {int(fields[21]) * os.sysconf('SC_PAGE_SIZE') / 1e6:.0f} MB",
    )


relays = [
    threading.Thread(target=relay, args=pair)
    for pair in ((program.stdout, "out"), (program.stderr, "err"))
]
for thread in relays:
    thread.start()
due = 10.0
while time.monotonic() - started < float(seconds) and program.poll() is None:
    now = time.monotonic() - started
    if steps and now >= steps[0][0]:
        text = steps.pop(0)[1]
        show(text)
        say("**", text or "(all unplugged)")
    if now >= due:
        sample()
        due += 10
    time.sleep(0.02)
if program.poll() is None:
    sample()
    program.send_signal(signal.SIGINT)
for thread in relays:
    thread.join()
say("--", f"exit {program.wait()}")
