"""What the tests and tools/ share: the program run as a user runs it, and things to watch and hear.

Everything here is real and local: the script in a process of its own, video files, a camera that
serves MJPEG on the loopback interface, and ALSA's file plugin where a sound card would be.
"""

import os
from pathlib import Path

import pytest

# So that a failed assert in here tells its values, as one in a test does.
pytest.register_assert_rewrite(
    *(f"{__name__}.{part}" for part in ("camera", "cues", "program", "video"))
)

# oneDNN heeds the variable, OpenVINO asks the processor alone: it fails in bfloat16, and crashes in
# rapidocr's graphs. A processor that has no more than AVX2 does well.
HELD_TO_AVX2 = os.environ.get("ONEDNN_MAX_CPU_ISA", "").startswith("AVX2") and (
    "avx512" in Path("/proc/cpuinfo").read_text("utf-8")
)
