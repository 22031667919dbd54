"""Weights: fetched at a pinned revision, checked, quantised once, kept, found again, refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import pete_sounds
from pete_sounds import Weights
from support.fake_hub import COMMIT, FakeHub, fake_hub
from support.program import NOBODY

REPOSITORY = "somebody/small-model"

# Runs in a process of its own: huggingface_hub reads its settings when it is first imported.
SCRIPT = """
import pathlib, sys
import pete_sounds as p
p.CACHE = pathlib.Path(sys.argv[1])
p.KEPT = p.CACHE / "pete_sounds"
pinned = p.Checkpoint(sys.argv[3], sys.argv[4], sys.argv[5] or None)
p.PRESETS["pinned"] = {"mlx": pinned, "torch": pinned}
try:
    print(p.find_weights(sys.argv[2], p.Weights(sys.argv[6])))
except p.PeteError as error:
    p.tell(str(error))
    sys.exit(int(error.exit_code))
"""


@pytest.fixture
def model(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the small checkpoint that a test may change."""
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder, ignore=shutil.ignore_patterns("demo.*"))
    return folder


@pytest.fixture
def hub(model: Path) -> Iterator[FakeHub]:
    with fake_hub(model, REPOSITORY) as hub:
        yield hub


# For what is not about conversion: used as it was fetched, which takes no import of mlx-vlm.
AS_FETCHED = Weights.MLX_16BIT


def command(
    cache: Path, name: str | Path, sha256: str = "", weights: Weights = Weights.MLX_4BIT
) -> list[str]:
    arguments = [str(cache), str(name), REPOSITORY, COMMIT, sha256, weights.value]
    return [sys.executable, "-c", SCRIPT, *arguments]


def environment(endpoint: str) -> dict[str, str]:
    return {**os.environ, "HF_ENDPOINT": endpoint, "PYTHONPATH": str(pete_sounds.PROJECT)}


def find_weights(
    cache: Path,
    name: str | Path,
    endpoint: str = NOBODY,
    sha256: str = "",
    weights: Weights = Weights.MLX_4BIT,
) -> subprocess.CompletedProcess[str]:
    """find_weights(name) with `cache` in the place of .hf_cache and a Hub at `endpoint`."""
    return subprocess.run(
        command(cache, name, sha256, weights), env=environment(endpoint),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def refusal(result: subprocess.CompletedProcess[str]) -> str:
    """The one line with which a model was refused."""
    assert result.returncode == pete_sounds.ExitCode.MODEL, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1]


def tensor_names(folder: Path) -> set[str]:
    """The names in a safetensors file's header: its length as 8 bytes, then JSON."""
    with (folder / "model.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return set(json.loads(file.read(length)))


def test_a_repository_is_fetched_once_quantised_and_found_again_without_the_network(
    hub: FakeHub, tmp_path: Path
) -> None:
    first = find_weights(tmp_path / "cache", "pinned", hub.url)
    assert first.returncode == 0, first.stderr
    folder = Path(first.stdout.strip())
    config = json.loads((folder / "config.json").read_text())
    assert config["quantization"]["bits"] == 4
    assert config["quantization"]["group_size"] == 64
    quantised = {name for name in tensor_names(folder) if name.endswith(".scales")}
    assert any(name.startswith("language_model.") for name in quantised)
    assert not any(name.startswith("vision_model.") for name in quantised)

    second = find_weights(tmp_path / "cache", "pinned", NOBODY)
    assert second.stdout == first.stdout
    assert second.stderr == ""


@pytest.mark.parametrize("weights", [Weights.MLX_8BIT, Weights.TORCH_BFLOAT16])
def test_each_kind_of_weights_is_made_once_and_kept_beside_the_others(
    model: Path, tmp_path: Path, weights: Weights
) -> None:
    four_bits = find_weights(tmp_path / "cache", model).stdout
    if weights is Weights.TORCH_BFLOAT16:  # made from float32 alone
        in_float32 = {name: t.float() for name, t in load_file(model / "model.safetensors").items()}
        save_file(in_float32, model / "model.safetensors")
    made = find_weights(tmp_path / "cache", model, weights=weights)
    assert made.returncode == 0, made.stderr
    assert f"making the {weights.value} weights" in made.stderr
    again = find_weights(tmp_path / "cache", model, weights=weights)
    assert (again.stdout, again.stderr) == (made.stdout, "")
    assert made.stdout not in ("", four_bits)
    if weights is Weights.MLX_8BIT:
        config = json.loads((Path(made.stdout.strip()) / "config.json").read_text())
        assert config["quantization"]["bits"] == 8
    else:
        tensors = load_file(Path(made.stdout.strip()) / "model.safetensors")
        assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}


@pytest.mark.parametrize("weights", [Weights.MLX_16BIT, Weights.TORCH, Weights.TORCH_BFLOAT16])
def test_weights_that_will_do_as_they_are_are_not_copied(
    model: Path, tmp_path: Path, weights: Weights
) -> None:
    result = find_weights(tmp_path / "cache", model, weights=weights)
    assert (result.stdout.strip(), result.stderr) == (str(model), "")


def test_torch_refuses_weights_that_are_for_mlx_alone(model: Path, tmp_path: Path) -> None:
    made = find_weights(tmp_path / "cache", model).stdout.strip()
    result = find_weights(tmp_path / "cache", made, weights=Weights.TORCH)
    assert "--engine mlx can use them" in refusal(result)


def test_what_is_asked_of_the_hub_names_the_pinned_revision(hub: FakeHub, tmp_path: Path) -> None:
    find_weights(tmp_path / "cache", "pinned", hub.url, weights=AS_FETCHED)
    assert f"GET /api/models/{REPOSITORY}/revision/{COMMIT}" in hub.paths
    assert all(COMMIT in path for path in hub.paths)


def test_code_and_pickles_are_never_fetched(hub: FakeHub, tmp_path: Path) -> None:
    for name in ("modeling_evil.py", "pytorch_model.bin", "weights.pt"):
        (hub.folder / name).write_bytes(b"raise SystemExit('ran')")
    result = find_weights(tmp_path / "cache", REPOSITORY, hub.url, weights=AS_FETCHED)
    assert result.returncode == 0, result.stderr
    assert not [path for path in hub.paths if re.search(r"\.(py|bin|pt)$", path)]


def test_weights_that_differ_from_the_hubs_list_are_refused_then_fetched_anew(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.listed_hashes["model.safetensors"] = "0" * 64
    assert "not what the Hub lists" in refusal(
        find_weights(tmp_path / "cache", REPOSITORY, hub.url, weights=AS_FETCHED)
    )
    assert not list((tmp_path / "cache").rglob("model.safetensors"))
    hub.listed_hashes.clear()
    assert find_weights(tmp_path / "cache", REPOSITORY, hub.url, weights=AS_FETCHED).returncode == 0


def test_a_pinned_hash_that_the_hub_does_not_list_is_only_noted(
    hub: FakeHub, tmp_path: Path
) -> None:
    result = find_weights(
        tmp_path / "cache", "pinned", hub.url, sha256="1" * 64, weights=AS_FETCHED
    )
    assert result.returncode == 0
    assert "another SHA-256" in result.stderr


def test_a_download_that_breaks_off_says_so_and_the_next_start_completes_it(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.cut_after = 100_000
    assert "can't be reached" in refusal(
        find_weights(tmp_path / "cache", REPOSITORY, hub.url, weights=AS_FETCHED)
    )
    hub.cut_after = None
    assert find_weights(tmp_path / "cache", REPOSITORY, hub.url, weights=AS_FETCHED).returncode == 0


def test_a_conversion_that_was_killed_is_done_again_without_the_network(
    hub: FakeHub, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    start = subprocess.Popen(command(cache, REPOSITORY), env=environment(hub.url))
    deadline = time.monotonic() + 60
    while not list(cache.glob("pete_sounds/.making-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    start.send_signal(signal.SIGKILL)
    start.wait()
    assert not [made for made in cache.glob("pete_sounds/*-4bit") if made.is_dir()]
    result = find_weights(cache, REPOSITORY, NOBODY)
    assert result.returncode == 0, result.stderr
    assert not list(cache.glob("pete_sounds/.making-*"))


@pytest.mark.parametrize("weights", [Weights.MLX_4BIT, Weights.TORCH])
def test_weights_that_changed_on_disk_are_refused_deleted_and_had_anew(
    hub: FakeHub, tmp_path: Path, weights: Weights
) -> None:
    """What was made here, and what is used as it was fetched."""
    cache = tmp_path / "cache"
    folder = Path(find_weights(cache, "pinned", hub.url, weights=weights).stdout.strip())
    file = (folder / "model.safetensors").resolve()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    file.write_bytes(content)
    os.utime(file, ns=times)
    assert "changed since it was checked" in refusal(
        find_weights(cache, "pinned", hub.url, weights=weights)
    )
    again = find_weights(cache, "pinned", hub.url, weights=weights)
    assert again.returncode == 0, again.stderr
    assert Path(again.stdout.strip(), "model.safetensors").read_bytes() != content


def test_weights_that_were_touched_but_not_changed_are_used(hub: FakeHub, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    folder = find_weights(cache, "pinned", hub.url).stdout
    os.utime(Path(folder.strip()) / "model.safetensors", (1, 1))
    again = find_weights(cache, "pinned", NOBODY)
    assert (again.stdout, again.stderr) == (folder, "")


def test_a_hub_that_is_away_is_told_in_one_line_that_points_to_the_demo(tmp_path: Path) -> None:
    line = refusal(find_weights(tmp_path / "cache", "nosuch/model", NOBODY))
    assert "nosuch/model is not on this machine and the Hub can't be reached" in line
    assert "--demo works" in line


def test_a_repository_that_does_not_exist_is_told_apart_from_a_hub_that_is_away(
    hub: FakeHub, tmp_path: Path
) -> None:
    line = refusal(find_weights(tmp_path / "cache", "nosuch/model", hub.url))
    assert "the Hub has no model nosuch/model" in line


def test_a_folder_is_quantised_once_and_again_when_its_weights_change(
    model: Path, tmp_path: Path
) -> None:
    first = find_weights(tmp_path / "cache", model)
    assert first.returncode == 0, first.stderr
    assert find_weights(tmp_path / "cache", model).stderr == ""
    os.utime(model / "model.safetensors", (1, 1))
    changed = find_weights(tmp_path / "cache", model)
    assert changed.stdout not in ("", first.stdout)


def test_a_folder_that_is_quantised_already_is_used_as_it_is(model: Path, tmp_path: Path) -> None:
    made = find_weights(tmp_path / "cache", model).stdout.strip()
    assert find_weights(tmp_path / "elsewhere", made).stdout.strip() == made


def test_a_cache_that_cannot_be_written_is_told_in_one_line(model: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, not a folder")
    assert "can't be kept" in refusal(find_weights(tmp_path / "cache", model))


def refused(folder: str | Path) -> str:
    """The message with which find_weights refuses a model in this process."""
    with pytest.raises(pete_sounds.PeteError) as caught:
        pete_sounds.find_weights(str(folder), Weights.MLX_4BIT)
    assert caught.value.exit_code is pete_sounds.ExitCode.MODEL
    return str(caught.value)


def test_a_folder_without_weights_is_refused(model: Path) -> None:
    (model / "model.safetensors").unlink()
    assert "without weights" in refused(model)


def test_a_folder_with_empty_weights_is_refused(model: Path) -> None:
    (model / "model.safetensors").write_bytes(b"")
    assert "without weights" in refused(model)


def test_weights_that_are_cut_short_are_refused(model: Path) -> None:
    whole = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "can't be converted" in refused(model)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', "null"])
def test_a_folder_whose_config_names_no_model_type_is_refused(model: Path, content: str) -> None:
    (model / "config.json").write_text(content)
    assert "no model folder" in refused(model)


def test_a_name_that_can_be_nothing_is_refused() -> None:
    assert "none of --list-models" in refused("what is this?")


def test_the_newer_layout_of_the_rotary_base_is_refused_with_the_cure(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    theta = config["text_config"].pop("rope_theta")
    config["text_config"]["rope_parameters"] = {"rope_theta": theta, "rope_type": "default"}
    (model / "config.json").write_text(json.dumps(config))
    assert f'add "rope_theta": {theta}' in refused(model)


def test_each_preset_is_pinned_to_a_whole_commit_and_a_whole_hash() -> None:
    for name, preset in pete_sounds.PRESETS.items():
        for checkpoint in preset.values():
            assert re.fullmatch(r"[0-9a-f]{40}", checkpoint.revision or "")
        if name != "fastvlm-0.5b":  # of which nobody has noted one
            assert re.fullmatch(r"[0-9a-f]{64}", preset["mlx"].sha256 or "")


def test_what_the_installer_calls_answers_in_one_line_and_a_code_without_the_network(
    tmp_path: Path,
) -> None:
    script = (
        "import pathlib, sys, pete_sounds as p\n"
        "p.CACHE = pathlib.Path(sys.argv[1]); p.KEPT = p.CACHE / 'k'\n"
        "sys.exit(p.install_model())"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], env=environment(NOBODY),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "the next start tries again" in refusal(result)
    assert result.stdout == ""
