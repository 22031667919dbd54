"""--list-models: the presets, their pins and what is on disk, with and without packages."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from narrator.models.listing import list_models
from narrator.models.presets import PRESETS
from support.program import ROOT


def test_each_preset_and_each_engine_is_listed_without_any_package() -> None:
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import sys; sys.path.insert(0, sys.argv[1])\n"
         "from narrator.models.listing import list_models; list_models()", str(ROOT)],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    rows = [re.split(r"  +", line) for line in result.stdout.splitlines()]
    listed = {(row[0], row[1], row[-1]) for row in rows if row[0] in PRESETS}
    runs = {"mlx": "mlx", "torch": "torch" if sys.platform == "darwin" else "openvino, torch"}
    assert listed == {
        (preset, runs[library], checkpoint.repository)
        for preset, both in PRESETS.items()
        for library, checkpoint in both.items()
    }
    usual = "mlx" if sys.platform == "darwin" else "openvino"
    assert f"\nWithout --engine, {usual} runs the model" in result.stdout
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("fastvlm-0.5b")]
    assert "Apple's, for research only" in line
    assert result.stdout.endswith("What is on disk is not known before ./install.sh has run.\n")


def test_what_is_on_disk_is_listed_with_its_size_and_its_folder(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub, made = cache / "hub", cache / "pete_sounds"
    list_models(cache)
    assert capsys.readouterr().out.endswith("\non disk: nothing yet\n")
    repository = hub / "models--mlx-community--SmolVLM2-256M-Video-Instruct-mlx"
    sizes = {
        repository / "blobs/a": 300_000_000,
        hub / "models--some\x1b[1m--other/snapshots/b/weights": 5_000_000,
        made / "mlx-community--SmolVLM2-256M-Video-Instruct-mlx-79901655c1a3-4bit/w": 200_000_000,
        made / "mine-0123456789ab-8bit/w": 7_000_000,
        made / ".making-x/w": 9_000_000,
    }
    for file, size in sizes.items():
        file.parent.mkdir(parents=True)
        with file.open("wb") as sparse:
            sparse.truncate(size)
    (repository / "snapshots/c").mkdir(parents=True)
    for name in ("config.json", "weights"):  # It must not count twice.
        (repository / "snapshots/c" / name).symlink_to("../../blobs/a")
    list_models(cache)
    assert capsys.readouterr().out.split("delete its folder):\n")[1] == (
        f"mine-0123456789ab-8bit: 7 MB made here, {made}/mine-0123456789ab-8bit\n"
        "mlx-community/SmolVLM2-256M-Video-Instruct-mlx: 300 MB downloaded, "
        f"{hub}/models--mlx-community--SmolVLM2-256M-Video-Instruct-mlx\n"
        "mlx-community/SmolVLM2-256M-Video-Instruct-mlx-79901655c1a3-4bit: 200 MB made here, "
        f"{made}/mlx-community--SmolVLM2-256M-Video-Instruct-mlx-79901655c1a3-4bit\n"
        f"some[1m/other: 5 MB downloaded in part, {hub}/models--some[1m--other\n"
    )


def test_each_preset_is_pinned_to_a_whole_commit_and_a_whole_hash() -> None:
    for name, preset in PRESETS.items():
        for checkpoint in preset.values():
            assert re.fullmatch(r"[0-9a-f]{40}", checkpoint.revision or "")
        if name != "fastvlm-0.5b":  # of which nobody has noted one
            assert re.fullmatch(r"[0-9a-f]{64}", preset["mlx"].sha256 or "")
