"""The presets' pins."""

from __future__ import annotations

import re

from narrator.models.presets import PRESETS


def test_each_preset_is_pinned_to_a_whole_commit_and_a_whole_hash() -> None:
    for name, preset in PRESETS.items():
        for checkpoint in preset.values():
            assert re.fullmatch(r"[0-9a-f]{40}", checkpoint.revision or "")
        if name != "fastvlm-0.5b":  # of which nobody has noted one
            assert re.fullmatch(r"[0-9a-f]{64}", preset["mlx"].sha256 or "")
