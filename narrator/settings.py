"""Paths, the defaults of the command line, and the few numbers that several parts share."""

from __future__ import annotations

from pathlib import Path

# The newest date in CHANGELOG.md, and a + while there are changes since.
VERSION = "2026-11-23+"
PROJECT = Path(__file__).resolve().parent.parent
VENV = PROJECT / ".venv"
CACHE = PROJECT / ".hf_cache"
CONVERTED = CACHE / "pete_sounds"  # weights that were made here
DEMO = PROJECT / "tests" / "tiny_smolvlm2"

DEFAULT_SOURCE = "camera:"  # number 0; on a Mac the one that the system takes
DEFAULT_MODEL = "smolvlm2-256m"
DEFAULT_PROMPT = "Describe what you see in one short sentence."
CLIP_PROMPT = "Describe what happens in one short sentence."
DEFAULT_MAX_TOKENS = 64
DEFAULT_RATE = 200  # words a minute, pyttsx3's own default
DEFAULT_VOLUME = 1.0
MAX_CLIP_FRAMES = 16  # 16 seconds, and 16 times the work of one frame
MAX_CONDITIONS = 8  # of --when: each one costs a look the time of a prompt
MAX_CONDITION_LENGTH = 200  # characters
ENGINES = ("auto", "mlx", "openvino", "torch")
BITS = (4, 8, 16)
SERVER_KEY = "PETE_SOUNDS_API_KEY"  # no other program's key, as this goes to whoever is named

# Of frames that are sent or saved: 50 to 80 kB for a photograph of 512 pixels; of the captions of
# 300 drawn scenes 299 stay as they were.
JPEG_QUALITY = 90
SAMPLE_RATE = 22050  # a second, 16-bit mono: what espeak-ng speaks in and every WAV here has
SILENCE_BETWEEN_S = 0.25  # between two sentences that are kept
