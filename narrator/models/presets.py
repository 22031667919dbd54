"""The models that have a name here, and what an engine loads of one."""

from __future__ import annotations

import enum
from dataclasses import dataclass


@dataclass(frozen=True)
class Checkpoint:
    """A model on the Hub. gigabytes: of the download. sha256: what others have seen for
    model.safetensors; what the Hub lists decides, but a difference is reported."""

    repository: str
    gigabytes: float | None = None
    revision: str | None = None
    sha256: str | None = None
    licence: str = "Apache-2.0"


class Weights(enum.Enum):
    """What an engine loads; the values are part of the names under which they are kept."""

    MLX_4BIT = "4bit"
    MLX_8BIT = "8bit"
    MLX_16BIT = "mlx"  # as published for mlx
    TORCH = "torch"  # as published
    OPENVINO_32_16 = "openvino-32-16"  # bits of the vision tower, and of the language model
    OPENVINO_16_16 = "openvino-16-16"
    OPENVINO_32_8 = "openvino-32-8"
    OPENVINO_16_8 = "openvino-16-8"
    OPENVINO_7_8 = "openvino-7-8"  # 7: of features, which are multiplied in integers

    @property
    def library(self) -> str:
        """Whose layout it is, mlx or torch."""
        return "mlx" if self.name.startswith("MLX") else "torch"


GROUP_SIZE = 64  # weights that share one scale: fewer are more accurate, and slower
APPLE_LICENCE = "Apple's, for research only"

# By library; the revisions and hashes were read where others had noted them.
# fmt: off
PRESETS = {
    "smolvlm2-256m": {
        "mlx": Checkpoint("mlx-community/SmolVLM2-256M-Video-Instruct-mlx", 0.5,
                          "79901655c1a3d7ed6646c91325e3fde47e40e611",
                          "e37d0714a5e2db99b9e4c8747028fc6ddf16f87f4a34ac175c82757d3d8e6636"),
        "torch": Checkpoint("HuggingFaceTB/SmolVLM2-256M-Video-Instruct", 1.0,
                            "067788b187b95ebe7b2e040b3e4299e342e5b8fd"),
    },
    "smolvlm2-500m": {
        "mlx": Checkpoint("mlx-community/SmolVLM2-500M-Video-Instruct-mlx", 1.0,
                          "fa57db46815177fbdfd65cc85a2b3416a8332268",
                          "a9839c8f79ecc93e54a00dc73cc0e68ba477debcd065d50c1c289fbb1075f981"),
        "torch": Checkpoint("HuggingFaceTB/SmolVLM2-500M-Video-Instruct", 2.0,
                            "7b375e1b73b11138ff12fe22c8f2822d8fe03467"),
    },
    "smolvlm2-2.2b": {
        "mlx": Checkpoint("mlx-community/SmolVLM2-2.2B-Instruct-mlx", 4.5,
                          "844516024a1c4400d34489b89ee067d794e432ed",
                          "ed6c59250704f09f921dce1a25e0d4eff611b6c9c53e382a7eb04ce9113f2773"),
        "torch": Checkpoint("HuggingFaceTB/SmolVLM2-2.2B-Instruct", 9.0,
                            "482adb537c021c86670beed01cd58990d01e72e4"),
    },
    "fastvlm-0.5b": {
        "mlx": Checkpoint("mlx-community/FastVLM-0.5B-bf16", 1.3,
                          "81ffe929046666c43de53691147b1669ba0f3a4c", licence=APPLE_LICENCE),
    },
}
# fmt: on
