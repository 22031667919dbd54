"""Clips: the last frames, a second apart, in the words that SmolVLM2 knows videos by."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # before mlx-vlm, from which the program would hide it

from pete_sounds import (
    CLIP_PROMPT,
    DEFAULT_PROMPT,
    FRAMES_AT_MOST,
    PROJECT,
    ClipBuffer,
    CpuEngine,
    Engine,
    ExitCode,
    Frame,
    Frames,
    MlxEngine,
    SmolVlmInputs,
    TorchEngine,
    Weights,
    find_weights,
    parse_arguments,
)
from support.camera import MjpegCamera, as_jpeg
from support.drawn_scenes import (
    Scene,
    Shape,
    caption_of,
    caption_of_clip,
    draw,
    random_clip,
    random_journey,
    spoil,
)
from support.made_models import transformers_processor
from support.program import Program

UNSEEN_SEED = 20261124  # training and its own evaluation use others
CLIPS = 60
TOKENS = 24


def clip_of(images: Sequence[np.ndarray], seconds: Sequence[float] | None = None) -> list[Frame]:
    """Pictures as engines take them, taken at `seconds`, or one a second."""
    return [
        Frame(image, taken=100.0 + at, at=7.25 + at)
        for image, at in zip(images, seconds or range(len(images)))
    ]


def caption(engine: Engine, images: Sequence[np.ndarray], prompt: str = CLIP_PROMPT) -> str:
    return "".join(engine.describe(clip_of(images), prompt)).strip()


@pytest.fixture(scope="module")
def in_float32(tiny: Path) -> CpuEngine:
    """The torch engine for a CPU, in float32."""
    return CpuEngine(tiny, TOKENS, torch.float32)


@pytest.fixture(scope="module")
def clips() -> list[tuple[list[np.ndarray], str]]:
    """Clips that no training has seen, of two, three and four frames, and what is true of them."""
    rng = np.random.default_rng(UNSEEN_SEED)
    return [random_clip(rng, 2 + number % 3) for number in range(CLIPS)]


Clips = list[tuple[list[np.ndarray], str]]


# ------------------------------------------------------------------------ what the model is asked


@pytest.fixture(scope="module")
def processor(tiny: Path) -> Any:
    """transformers' own processor."""
    return transformers_processor(tiny)


def as_transformers_asks(
    processor: Any, images: Sequence[np.ndarray], seconds: Sequence[int], prompt: str
) -> dict[str, Any]:
    """What transformers makes of the same frames and seconds."""
    from transformers.video_utils import VideoMetadata

    content = [{"type": "video"}, {"type": "text", "text": prompt}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )
    when = VideoMetadata(total_num_frames=len(images), fps=1.0, frames_indices=list(seconds))
    return dict(
        processor(
            text=text,
            videos=[np.stack([image[..., ::-1] for image in images])],
            video_metadata=[when],
            do_sample_frames=False,
            return_tensors="pt",
        )
    )


@pytest.mark.parametrize(
    "seconds", [(0, 1), (0, 1, 2), (0, 2, 3, 5), (0, 1, 75), tuple(range(FRAMES_AT_MOST))]
)
def test_a_clip_is_asked_about_as_transformers_own_processor_asks(
    tiny: Path, processor: Any, seconds: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(3)
    images = [spoil(draw(scene), rng) for scene in random_journey(rng, len(seconds))]
    theirs = as_transformers_asks(processor, images, seconds, "What happens?")
    ids, pixels = SmolVlmInputs(tiny).prepare(clip_of(images, seconds), "What happens?")
    assert ids == theirs["input_ids"][0].tolist()
    assert pixels.shape == theirs["pixel_values"][0].shape == (len(seconds), 3, 128, 128)
    # It resizes in another way, with torchvision: near, but not the same.
    assert np.abs(pixels - theirs["pixel_values"][0].numpy()).mean() < 0.02


def test_a_camera_that_is_a_little_late_changes_no_word(tiny: Path) -> None:
    inputs = SmolVlmInputs(tiny)
    images = [np.full((48, 64, 3), 100, np.uint8)] * 3
    ids = inputs.numbers(clip_of(images, (0.0, 1.0, 2.0)), CLIP_PROMPT)
    assert inputs.numbers(clip_of(images, (0.03, 0.98, 2.4)), CLIP_PROMPT) == ids
    assert inputs.numbers(clip_of(images, (0.0, 1.0, 2.6)), CLIP_PROMPT) != ids


def test_a_clip_of_one_frame_is_a_picture(tiny: Path) -> None:
    image = np.full((48, 64, 3), 100, np.uint8)
    ids, pixels = SmolVlmInputs(tiny).prepare(clip_of([image]), DEFAULT_PROMPT)
    assert len(pixels) == 1
    assert ids.count(21) == 16
    assert len(ids) < 60


def test_the_prompts_that_are_kept_are_few(tiny: Path) -> None:
    inputs = SmolVlmInputs(tiny)
    images = [np.full((48, 64, 3), 100, np.uint8)] * 2
    for number in range(200):
        first = inputs.numbers(clip_of(images, (0, 1 + number)), CLIP_PROMPT)
        assert inputs.numbers(clip_of(images, (0, 1 + number)), CLIP_PROMPT) is first
    assert len(inputs._ids) <= inputs.KEPT_PROMPTS


# ---------------------------------------------------------------------------------- what it says


def test_tokens_are_those_of_transformers_own_generate(
    tiny: Path, processor: Any, in_float32: CpuEngine, clips: Clips
) -> None:
    from transformers import AutoModelForImageTextToText

    reference = AutoModelForImageTextToText.from_pretrained(tiny, dtype=torch.float32).eval()
    library = TorchEngine(tiny, TOKENS, "cpu", torch.float32)
    noise = np.random.default_rng(1).integers(0, 255, (5, 48, 64, 3), dtype=np.uint8)
    for images in ([*noise], *(images for images, _ in clips[:6])):
        clip = clip_of(images)
        ids, pixels = in_float32.prepare(clip, CLIP_PROMPT)
        theirs = as_transformers_asks(processor, images, range(len(images)), CLIP_PROMPT)
        assert theirs["input_ids"][0].tolist() == ids
        inputs = {"input_ids": torch.tensor([ids]), "pixel_values": pixels[None]}
        made = reference.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
        tokens = [t for t in made[0, len(ids) :].tolist() if t not in in_float32._inputs.ends]
        assert list(in_float32._tokens(clip, CLIP_PROMPT)) == tokens
        assert list(library._tokens(clip, CLIP_PROMPT)) == tokens


def test_mlx_says_the_same_of_clips_as_torch(
    tiny: Path, in_float32: CpuEngine, clips: Clips
) -> None:
    mlx = MlxEngine(find_weights(str(tiny), Weights.MLX_16BIT), TOKENS)
    some = clips[:20]
    assert [caption(mlx, images) for images, _ in some] == [
        caption(in_float32, images) for images, _ in some
    ]


def moving(
    kind: str, colour: str, start: tuple[float, float], end: tuple[float, float], count: int = 3
) -> list[Scene]:
    """Scenes in which a shape goes steadily from one place to another."""
    shares = np.linspace(0, 1, count)
    return [
        Scene(
            Shape(
                kind,
                colour,
                start[0] + share * (end[0] - start[0]),
                start[1] + share * (end[1] - start[1]),
                0.16,
            )
        )
        for share in shares
    ]


# ------------------------------------------------------------------------- what is looked at twice


def test_a_frame_of_the_last_clip_is_not_looked_at_again(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = CpuEngine(tiny, TOKENS, torch.float32)
    looks: list[Any] = []
    see = engine._vision

    def counted(tile: Any) -> Any:
        looks.append(tile)
        return see(tile)

    monkeypatch.setattr(engine, "_vision", counted)
    rng = np.random.default_rng(5)
    images = [spoil(draw(scene), rng) for scene in random_journey(rng, 5, moves=1.0)]
    frames = clip_of(images)
    engine.first_logits(frames[:3], CLIP_PROMPT)
    assert len(looks) == 3
    later = engine.first_logits(frames[1:4], CLIP_PROMPT)
    assert len(looks) == 4
    fresh = CpuEngine(tiny, TOKENS, torch.float32).first_logits(frames[1:4], CLIP_PROMPT)
    assert torch.equal(later, fresh)
    engine.first_logits([frames[4]], CLIP_PROMPT)  # Frames of no clip any more are let go of.
    engine.first_logits([frames[1]], CLIP_PROMPT)
    assert len(looks) == 6
    engine.detail = True
    engine.first_logits([frames[1]], CLIP_PROMPT)
    assert len(looks) > 7


# ---------------------------------------------------------------------------------- other models


@pytest.fixture(scope="module")
def foreign(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small checkpoint as an Idefics3, the family that SmolVLM comes from: a model whose
    inputs are left to the libraries. It was not trained on their words, so what it says is not
    looked at."""
    folder = tmp_path_factory.mktemp("foreign") / "idefics3"
    shutil.copytree(tiny, folder, ignore=shutil.ignore_patterns("demo.*"))
    change(folder / "config.json", lambda config: (
        config.update(model_type="idefics3", architectures=["Idefics3ForConditionalGeneration"]),
        config["vision_config"].update(model_type="idefics3_vision"),
    ))  # fmt: skip
    change(
        folder / "preprocessor_config.json",
        lambda config: config.update(
            image_processor_type="Idefics3ImageProcessor", processor_class="Idefics3Processor"
        ),
    )
    template = json.loads((folder / "chat_template.json").read_text("utf-8"))["chat_template"]
    (folder / "chat_template.json").unlink()
    (folder / "chat_template.jinja").write_text(template)
    for name in ("processor_config.json", "tokenizer_config.json"):
        change(folder / name, lambda config: config.update(processor_class="Idefics3Processor"))
    return folder


def change(file: Path, how: Callable[[dict[str, Any]], Any]) -> None:
    """Change a JSON file."""
    content = json.loads(file.read_text("utf-8"))
    how(content)
    file.write_text(json.dumps(content))


SHOW = """
import sys, numpy as np, pete_sounds as p, torch
from pathlib import Path
folder, library, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
mlx = library == "mlx"
engine = p.MlxEngine(folder, 4) if mlx else p.TorchEngine(folder, 4, "cpu", torch.float32)
rng = np.random.default_rng(9)
images = rng.integers(0, 255, (count, 48, 64, 3), dtype=np.uint8)
clip = [p.Frame(image, 0.0, float(at)) for at, image in enumerate(images)]
inputs = engine.prepare(clip, "What?")
if not mlx:
    print("image tokens:", int((inputs["input_ids"] == 21).sum()))
print("pieces:", len(list(engine.describe(clip, "What?"))))
"""


def show(folder: Path, library: str, count: int) -> subprocess.CompletedProcess[str]:
    """Describe a clip of noise in a process of its own: mlx-vlm puts processors of its own in the
    place of transformers' for all that follows."""
    return subprocess.run(
        [sys.executable, "-c", SHOW, str(folder), library, str(count)], cwd=PROJECT,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("library", ["torch", "mlx"])
def test_another_model_is_shown_several_pictures(foreign: Path, library: str) -> None:
    shown = show(foreign, library, 3)
    assert "pieces: " in shown.stdout, shown.stderr
    if library == "torch":
        assert f"image tokens: {3 * 16}" in shown.stdout


def test_a_model_that_takes_one_picture_alone_is_refused_for_clips(
    foreign: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "one picture"
    shutil.copytree(foreign, folder)
    one = "{% for m in messages %}User:<image>{{ m['content'][-1]['text'] }}{% endfor %}"
    (folder / "chat_template.jinja").write_text(one)
    refused = show(folder, "torch", 2).stderr
    assert "ModelError: this model does not take 2 frames at once" in refused
    assert "leave --frames out" in refused


# -------------------------------------------------------------------------------------- the buffer


def frame_at(at: float) -> Frame:
    return Frame(np.zeros((2, 2, 3), np.uint8), time.monotonic(), at)


def filled(length: int, until: float, fps: float = 15) -> ClipBuffer:
    """A buffer that was shown a source from its start on."""
    buffer = ClipBuffer(length)
    for number in range(round(until * fps) + 1):
        buffer.see(frame_at(number / fps))
    return buffer


@pytest.mark.parametrize("at", [9.0, 9.3, 9.59, 9.61, 9.95, 10.0])
def test_a_clip_is_its_freshest_frame_and_those_before_it_a_second_apart(at: float) -> None:
    buffer = filled(4, until=9.0)
    newest = frame_at(at)
    clip = buffer.clip_to(newest)
    assert clip[-1] is newest
    gaps = np.diff([frame.at for frame in clip])
    assert len(clip) == 4
    assert gaps[:-1] == pytest.approx([1.0, 1.0], abs=0.08)
    assert 0.6 <= gaps[-1] <= 1.67


def test_at_the_start_there_are_fewer_frames(tiny: Path) -> None:
    assert [len(filled(4, at).clip_to(frame_at(at))) for at in (0.0, 0.5, 0.7, 1.7, 2.7, 9)] == [
        1, 1, 2, 3, 4, 4,
    ]  # fmt: skip
    assert len(filled(1, 9.0).clip_to(frame_at(9.1))) == 1


def test_a_slow_source_gives_its_frames_as_they_come() -> None:
    buffer = filled(3, until=20, fps=0.5)
    assert [frame.at for frame in buffer.clip_to(frame_at(22))] == [18, 20, 22]


def test_no_more_frames_are_kept_than_a_clip_has() -> None:
    assert len(filled(3, until=60)._kept) == 3
    assert len(filled(1, until=60)._kept) == 0


def test_what_was_before_a_clearing_is_in_no_clip() -> None:
    buffer = filled(4, until=9.0)
    before = frame_at(9.5)
    time.sleep(0.01)
    buffer.clear(time.monotonic())
    assert buffer.clip_to(before) == [before]
    buffer.see(before)  # late: it was taken before
    assert [frame.at for frame in buffer.clip_to(frame_at(12))] == [12]


def test_a_clip_does_not_span_an_outage(mjpeg: MjpegCamera) -> None:
    noise = np.random.default_rng(1)
    mjpeg.film(lambda: as_jpeg(noise.integers(0, 255, (48, 64, 3), np.uint8)))
    history = ClipBuffer(4)
    frames = Frames(mjpeg.url, history)
    try:
        clip = look_on(frames, history, lambda clip: len(clip) >= 3)
        assert [b.at - a.at > 0.5 for a, b in zip(clip, clip[1:])] == [True] * (len(clip) - 1)
        mjpeg.drop()
        lost = wait_for_news(frames)
        lost_at = time.monotonic()
        assert "lost" in lost or "gone" in lost
        mjpeg.come_back()
        clip = look_on(frames, history, lambda clip: clip[-1].taken > lost_at)
        assert len(clip) == 1
        clip = look_on(frames, history, lambda clip: len(clip) >= 2)
        assert all(frame.taken > lost_at for frame in clip)
    finally:
        frames.close()


def look_on(
    frames: Frames, history: ClipBuffer, enough: Callable[[list[Frame]], bool]
) -> list[Frame]:
    """The first clip that is `enough`. The thread that reads fills the buffer alone."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        frame = frames.newest(0.2)
        if frame is not None and enough(clip := history.clip_to(frame)):
            return clip
    raise AssertionError("no such clip came")


def wait_for_news(frames: Frames) -> str:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        frames.newest(0.05)
        if news := frames.news():
            return news[0]
    raise AssertionError("no news")


def test_the_buffer_may_be_used_by_two_threads() -> None:
    buffer = ClipBuffer(4)

    def feed() -> None:
        for number in range(20_000):
            buffer.see(Frame(image, time.monotonic(), number / 100))

    image = np.zeros((2, 2, 3), np.uint8)
    thread = threading.Thread(target=feed)
    thread.start()
    while thread.is_alive():
        clip = buffer.clip_to(frame_at(100.0))
        assert all(a.at < b.at for a, b in zip(clip, clip[1:]))
    thread.join()


# -------------------------------------------------------------------------------------- the program


def test_the_program_describes_clips(program: Program) -> None:
    result = program("--demo", "--frames", "3", "--mute", "--limit", "2")
    assert result.returncode == ExitCode.OK, result.stderr
    assert len(result.stdout.splitlines()) == 2


WRONG = {
    "no frames": (["--frames", "0"], "--frames: 0 is not between 1 and 16"),
    "too many frames": (["--frames", "17"], "--frames: 17 is not between 1 and 16"),
    "detail of a clip": (["--frames", "2", "--detail"], "--detail is for single frames"),
    "a measurement of clips": (["--frames", "2", "--bench"], "--bench has no use for --frames"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_meant_is_refused(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, message = WRONG[case]
    with pytest.raises(SystemExit) as caught:
        parse_arguments(arguments)
    assert caught.value.code == ExitCode.USAGE
    assert message in capsys.readouterr().err


def test_a_clip_is_asked_about_what_happens_unless_told_otherwise() -> None:
    assert parse_arguments([]).prompt == DEFAULT_PROMPT
    assert parse_arguments(["--frames", "1", "--detail"]).prompt == DEFAULT_PROMPT
    assert parse_arguments(["--frames", "3"]).prompt == CLIP_PROMPT
    assert parse_arguments(["--frames", "3", "--prompt", "Who?"]).prompt == "Who?"
    assert parse_arguments(["--frames", "3", "--prompt", DEFAULT_PROMPT]).prompt == DEFAULT_PROMPT


def test_drawn_clips_are_told_as_they_are() -> None:
    scenes = moving("square", "blue", (0.8, 0.5), (0.3, 0.5))
    assert caption_of_clip(scenes) == "A blue square moving left."
    assert caption_of_clip(scenes[::-1]) == "A blue square moving right."
    assert caption_of_clip(scenes[-1:] * 3) == caption_of(scenes[-1])
    assert caption_of_clip([Scene(None), *scenes]) == "A blue square moving left."
    assert caption_of_clip([Scene(None), Scene(None), scenes[0]]) == caption_of(scenes[0])
    assert caption_of_clip([*scenes, Scene(None)]) == "Nothing but a grey wall."
