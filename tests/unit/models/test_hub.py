"""Checkpoints: downloaded at a pinned revision, checked, found again, completed, refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download

from narrator.errors import ModelError
from narrator.models.hub import fetch, find_snapshot
from narrator.models.presets import Checkpoint
from support.fake_hub import COMMIT, FakeHub

NEWEST = Checkpoint("somebody/small-model")
PINNED = Checkpoint("somebody/small-model", revision=COMMIT)


@pytest.mark.parametrize("checkpoint", [PINNED, NEWEST])
def test_a_checkpoint_is_downloaded_once_and_found_again_without_the_hub(
    hub: FakeHub, cache: Path, checkpoint: Checkpoint
) -> None:
    folder = fetch(checkpoint, cache)
    assert {file.name for file in folder.iterdir()} == {file.name for file in hub.folder.iterdir()}
    asked = hub.paths[:]
    assert fetch(checkpoint, cache) == folder
    assert hub.paths == asked
    if checkpoint.revision:
        assert all(COMMIT in path for path in asked if PINNED.repository in path)
    files = [path for path in asked if path.startswith("GET ") and "/resolve/" in path]
    assert files[-1].endswith("/config.json")  # with which a download is whole


def test_without_a_terminal_a_download_is_told_in_lines_that_grow_to_the_whole(
    hub: FakeHub, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (hub.folder / "model.safetensors").write_bytes(bytes(25_000_000))  # three parts of 10 MB
    fetch(PINNED, cache)
    told = [int(line.split()[1]) for line in caplog.messages if line.startswith("downloaded ")]
    assert told == sorted(set(told))
    assert len(told) >= 3
    assert told[-1] in (90, 100)  # config.json comes later


def test_code_and_pickles_are_never_downloaded(hub: FakeHub, cache: Path) -> None:
    for name in ("modeling_evil.py", "pytorch_model.bin"):
        (hub.folder / name).write_bytes(b"raise SystemExit('ran')")
    fetch(NEWEST, cache)
    assert not [path for path in hub.paths if re.search(r"\.(py|bin|pt)$", path)]


def test_a_file_that_differs_from_the_hubs_list_is_refused_then_downloaded_anew(
    hub: FakeHub, cache: Path
) -> None:
    name = "model.safetensors"
    hub.listed_hashes[name] = "0" * 64
    for _ in range(2):  # The second start must not take it for checked.
        with pytest.raises(ModelError, match=f"{name} does not match the Hub's checksum"):
            fetch(NEWEST, cache)
        assert not list(cache.rglob(name))
        assert not list(cache.rglob("config.json"))
    hub.listed_hashes.clear()
    assert (fetch(NEWEST, cache) / name).is_file()


def test_a_hash_that_the_hub_does_not_list_is_only_noted(
    hub: FakeHub, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for sha256, noted in ((hub.weights_sha256(), False), ("1" * 64, True)):
        folder = cache / sha256
        fetch(Checkpoint(PINNED.repository, revision=COMMIT, sha256=sha256), folder)
        assert ("SHA-256 of model.safetensors is not the one recorded" in caplog.text) == noted


def test_a_download_that_breaks_off_says_so_and_the_next_start_completes_it(
    hub: FakeHub, cache: Path
) -> None:
    hub.cut_after = 100_000
    with pytest.raises(ModelError, match="can't be reached"):
        fetch(NEWEST, cache)
    assert find_snapshot(NEWEST, cache) is None
    hub.cut_after = None
    assert (fetch(NEWEST, cache) / "model.safetensors").is_file()


def test_files_that_went_missing_are_downloaded_again(hub: FakeHub, cache: Path) -> None:
    folder = fetch(PINNED, cache)
    (folder / "model.safetensors").resolve().unlink()
    (folder / "tokenizer.json").unlink()
    assert fetch(PINNED, cache) == folder
    assert (folder / "model.safetensors").is_file()
    assert (folder / "tokenizer.json").is_file()


def test_what_is_completed_later_is_checked_too(hub: FakeHub, cache: Path) -> None:
    """Though there was a config.json, and a start that was killed before it had checked all."""
    (fetch(PINNED, cache) / "model.safetensors").resolve().unlink()
    assert find_snapshot(PINNED, cache) is None
    name = "model.safetensors"
    hf_hub_download(PINNED.repository, name, revision=COMMIT, cache_dir=cache)
    hub.listed_hashes[name] = "0" * 64
    with pytest.raises(ModelError, match="does not match the Hub's checksum"):
        fetch(PINNED, cache)


def test_a_hub_that_is_away_is_told_in_one_line_that_points_to_the_demo(
    no_hub: None, cache: Path
) -> None:
    with pytest.raises(ModelError) as caught:
        fetch(Checkpoint("nosuch/model"), cache)
    assert "nosuch/model is not on this machine and the Hub can't be reached" in str(caught.value)
    assert "Connection refused" in str(caught.value)
    assert "--demo works" in str(caught.value)
    folder = cache / "models--nosuch--model" / "snapshots" / "a"  # there in part
    folder.mkdir(parents=True)
    with pytest.raises(ModelError, match=r"can't be reached \(.*Connection refused"):
        fetch(Checkpoint("nosuch/model"), cache)


def test_a_repository_that_is_not_there_or_has_terms_is_told_apart_from_a_hub_that_is_away(
    hub: FakeHub, cache: Path
) -> None:
    with pytest.raises(ModelError, match="the Hub has no model nosuch/model"):
        fetch(Checkpoint("nosuch/model"), cache)
    hub.is_gated = True
    with pytest.raises(ModelError, match=r"asks you to accept its terms on huggingface\.co"):
        fetch(NEWEST, cache)


def test_nothing_is_downloaded_for_a_measurement(hub: FakeHub, cache: Path) -> None:
    with pytest.raises(ModelError, match=r"run pete_sounds\.py with it once to"):
        fetch(PINNED, cache, may_download=False)
    assert hub.paths == []
    folder = fetch(PINNED, cache)
    assert fetch(PINNED, cache, may_download=False) == folder
