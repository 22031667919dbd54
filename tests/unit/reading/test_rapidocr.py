"""rapidocr as it is installed: with its weights, without a network, and beside one OpenCV."""

from __future__ import annotations

import math
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest

from narrator.settings import PROJECT
from support.pages import by_rapidocr

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a Mac reads with Vision")

SCRIPT = """
import socket, sys
class Watched(socket.socket):
    def connect(self, address): print("connected to", address)
    connect_ex = sendto = connect
socket.socket = Watched
socket.getaddrinfo = lambda *names, **_: print("looked up", names)
sys.path.insert(0, "tests")
from narrator.reading.page import Page
from narrator.reading.opening import open_reader
from support.pages import page
print(*Page(open_reader(), page(["Gate 14B"])).sentences())
print([name for name in ("onnxruntime", "torch", "openvino_telemetry") if name in sys.modules])
"""


@by_rapidocr
def test_it_reads_without_a_network_and_without_another_runtime() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=PROJECT, check=True, capture_output=True, text=True
    )
    assert done.stdout == "Gate 14B\n[]\n"
    assert done.stderr == ""


@by_rapidocr
def test_it_calculates_in_what_the_processor_multiplies_rightly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from narrator.reading import rapidocr

    monkeypatch.setattr(rapidocr, "best_precision", lambda: "f32")
    reader = rapidocr.RapidOcrReader()
    assert reader.find(np.zeros((480, 640, 3), np.uint8)).quads.size == 0
    used = reader._ocr.text_det.session.session.get_compiled_model()
    assert used.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"


def test_there_is_one_opencv_and_no_onnxruntime() -> None:
    names = {str(found.metadata["Name"]).lower() for found in metadata.distributions()}
    assert {name for name in names if name.startswith("opencv")} == {"opencv-python"}
    assert not {name for name in names if name.startswith("onnxruntime")}


def test_lines_of_all_lengths_become_lines_of_a_few() -> None:
    """Or what OpenVINO keeps for each grows by gigabytes in an hour before a camera."""
    from narrator.reading.rapidocr import widened

    random = np.random.default_rng(0)
    shapes = [(int(random.integers(16, 60)), int(random.integers(5, 1500))) for _ in range(500)]
    ratios = []
    for height, width in shapes:
        made = widened(np.zeros((height, width, 3), np.uint8)).shape
        assert made[0] == height
        assert made[1] >= width
        ratios.append(made[1] / height)
    assert len({round(math.log(ratio), 1) for ratio in ratios}) < 15
