"""Small random checkpoints of other models, made by transformers' and mlx-vlm's own classes.

They see and say nothing of sense. What they prove is that a published layout loads, that the
picture reaches the words, and that two libraries agree about both. The words are those of the
small bundled checkpoint; config.json is in the layout of the published models, which is older than
what transformers 5 writes.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from narrator.frames.frame import Frame
from support.program import TINY

ENDS = 22  # <end_of_utterance>, of the bundled tokenizer
TEXT = {
    "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048,
    "bos_token_id": 1, "eos_token_id": ENDS, "pad_token_id": 2,
}  # fmt: skip
VISION = {
    "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128,
    "num_attention_heads": 4, "image_size": 64, "patch_size": 16,
}  # fmt: skip
# The picture first, wherever a library puts it.
TEMPLATE = (
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for c in m.content if c.type == 'image' %}IMAGE{% endfor %}"
    "{% for c in m.content if c.type == 'text' %}{{ c.text }}{% endfor %}"
    "{% endif %}{% endfor %} A:"
)


def change_json(file: Path, **changes: Any) -> None:
    """Set keys of a JSON file; None takes one away."""
    settings = {**json.loads(file.read_text("utf-8")), **changes}
    file.write_text(json.dumps({k: v for k, v in settings.items() if v is not None}), "utf-8")


def tokenizer_with(*special: str) -> Any:
    """The bundled checkpoint's tokenizer, with more special tokens."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(TINY / "tokenizer.json"),
        bos_token="<|im_start|>", eos_token="<end_of_utterance>", pad_token="<|im_end|>",
    )  # fmt: skip
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    return tokenizer


def fill(model: Any, deviation: float) -> None:
    """The same random weights each time; norms stay 1, their biases 0."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 or "class_embedding" in name:
            parameter.data.normal_(0, deviation, generator=generator)
        elif name.endswith("bias"):
            parameter.data.zero_()


def save(model: Any, processor: Any, folder: Path) -> Path:
    """Weights of some size, so that the words depend on the picture; then both are saved."""
    fill(model, 0.2)
    model.generation_config.eos_token_id = ENDS
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    if "rope_parameters" in config.get("text_config", {}):  # as published: see guard_rotary_base
        config["text_config"]["rope_theta"] = config["text_config"].pop("rope_parameters")[
            "rope_theta"
        ]
        (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return folder


def llava(folder: Path) -> Path:
    """LLaVA 1.5: CLIP and a Llama."""
    from transformers import (
        CLIPImageProcessor,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )  # fmt: skip

    tokenizer = tokenizer_with("<image>")
    text = {"model_type": "llama", **TEXT, "vocab_size": len(tokenizer)}
    config = LlavaConfig(
        vision_config={"model_type": "clip_vision_model", **VISION, "projection_dim": 32},
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    processor = LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64}),
        tokenizer, patch_size=16, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=TEMPLATE.replace("IMAGE", "<image>"),
    )  # fmt: skip
    save(LlavaForConditionalGeneration(config), processor, folder)
    # As published: CLIP's names have one more part than transformers 5 gives them.
    file = folder / "model.safetensors"
    tensors = {
        name.replace("vision_tower.", "vision_tower.vision_model."): tensor
        for name, tensor in load_file(file).items()
    }
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


def qwen2_vl(folder: Path) -> Path:
    """Qwen2-VL: pictures of any size, places in three dimensions."""
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )  # fmt: skip

    names = ("vision_start", "image_pad", "vision_end", "video_pad")
    tokenizer = tokenizer_with(*(f"<|{name}|>" for name in names))
    ids = dict(zip(names, tokenizer.convert_tokens_to_ids([f"<|{name}|>" for name in names])))
    text = {**TEXT, "vocab_size": len(tokenizer)}
    vision = {
        "depth": 2, "embed_dim": 64, "hidden_size": 64, "num_heads": 4, "mlp_ratio": 2,
        "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2,
    }  # fmt: skip
    places = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
    config = Qwen2VLConfig(
        text_config={**text, "rope_parameters": places},
        vision_config=vision,
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
    )
    picture = "<|vision_start|><|image_pad|><|vision_end|>"
    processor = Qwen2VLProcessor(
        Qwen2VLImageProcessor(size={"shortest_edge": 28 * 28, "longest_edge": 112 * 112}),
        tokenizer, Qwen2VLVideoProcessor(), chat_template=TEMPLATE.replace("IMAGE", picture),
    )  # fmt: skip
    save(Qwen2VLForConditionalGeneration(config), processor, folder)
    # As published: the language model's settings are at the top.
    scaling = {"type": "mrope", "mrope_section": places["mrope_section"]}
    change_json(
        folder / "config.json", **text, text_config=None, vision_config={**vision, "in_chans": 3},
        rope_theta=places["rope_theta"], rope_scaling=scaling, rms_norm_eps=1e-6,
        hidden_act="silu", tie_word_embeddings=False,
    )  # fmt: skip
    return folder


def idefics3(folder: Path) -> Path:
    """Idefics3, from which SmolVLM comes."""
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessor,
        Idefics3Processor,
    )  # fmt: skip

    tokenizer = tokenizer_with("<fake_token_around_image>", "<image>", "<end_of_utterance>")
    config = Idefics3Config(
        vision_config=VISION,
        text_config={"model_type": "llama", **TEXT, "vocab_size": len(tokenizer)},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    processor = Idefics3Processor(
        Idefics3ImageProcessor(size={"longest_edge": 128}, max_image_size={"longest_edge": 64}),
        tokenizer, image_seq_len=4, chat_template=TEMPLATE.replace("IMAGE", "<image>"),
    )  # fmt: skip
    return save(Idefics3ForConditionalGeneration(config), processor, folder)


def one_picture(folder: Path) -> Path:
    """An Idefics3 whose template has room for one picture, however many there are."""
    idefics3(folder)
    template = "{% for m in messages %}<image>{{ m.content[-1].text }}{% endfor %} A:"
    (folder / "chat_template.jinja").write_text(template)
    return folder


def no_template(folder: Path) -> Path:
    """An Idefics3 without a chat template, as PaliGemma and others are published."""
    idefics3(folder)
    (folder / "chat_template.jinja").unlink()
    return folder


def smolvlm_384(folder: Path) -> Path:
    """The geometry of SmolVLM2 2.2B: 384 pixels, patches of 14 (27 a side, 6 pixels left over),
    scale factor 3, 81 image tokens. Its layers are few and narrow, its precision is float32."""
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration

    folder.mkdir()
    for file in TINY.glob("*.json"):
        shutil.copyfile(file, folder / file.name)
    config = json.loads((TINY / "config.json").read_text("utf-8"))
    config["scale_factor"] = 3
    config["text_config"].update(pixel_shuffle_factor=3, num_hidden_layers=2)
    config["vision_config"].update(
        image_size=384, patch_size=14, num_hidden_layers=2, hidden_size=144,
        intermediate_size=200, num_attention_heads=2, max_image_size={"longest_edge": 384},
        size={"longest_edge": 1536},
    )  # fmt: skip
    model = SmolVLMForConditionalGeneration(SmolVLMConfig(**config))
    fill(model, 0.2)
    model.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    shutil.copyfile(TINY / "generation_config.json", folder / "generation_config.json")
    change_json(folder / "processor_config.json", image_seq_len=81)
    sizes = {"max_image_size": {"longest_edge": 384}, "size": {"longest_edge": 1536}}
    change_json(folder / "preprocessor_config.json", **sizes)
    return folder


def transformers_processor(folder: Path) -> Any:
    """transformers' own SmolVLMProcessor, with Pillow. AutoProcessor would do until mlx-vlm is
    imported, which puts its own in that place."""
    from transformers import AutoTokenizer, SmolVLMProcessor, SmolVLMVideoProcessor
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    template = json.loads((folder / "chat_template.json").read_text("utf-8"))["chat_template"]
    settings = json.loads((folder / "processor_config.json").read_text("utf-8"))
    return SmolVLMProcessor(
        SmolVLMImageProcessorPil.from_pretrained(folder), AutoTokenizer.from_pretrained(folder),
        SmolVLMVideoProcessor.from_pretrained(folder), settings["image_seq_len"], template,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------- FastVLM

FASTVLM_LAYERS = [1, 1, 1, 1, 1]
FASTVLM_WIDTHS = [16, 16, 32, 32, 32]


def fastvlm_settings(folder: Path) -> dict[str, Any]:
    """Everything of a FastVLM folder but its weights, in the layout of the published ones;
    returns its config."""
    folder.mkdir()
    config = {
        "model_type": "llava_qwen2", **TEXT, "num_attention_heads": 2, "num_key_value_heads": 1,
        "vocab_size": 640, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
        "tie_word_embeddings": True, "image_token_index": -200,
        "mm_hidden_size": 2 * FASTVLM_WIDTHS[-1], "mm_projector_type": "mlp2x_gelu",
        "mm_vision_tower": "mobileclip_l_1024", "tokenizer_model_max_length": 8192,
        # The code that the published ones bring along is never run here.
        "auto_map": {"AutoModelForCausalLM": "llava_qwen.LlavaQwen2ForCausalLM"},
    }  # fmt: skip
    turns = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    pictures = {"size": {"shortest_edge": 128}, "crop_size": {"height": 128, "width": 128}}
    shutil.copyfile(TINY / "tokenizer.json", folder / "tokenizer.json")
    for name, settings in {
        "config.json": config,
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast", "chat_template": turns,
            "bos_token": "<|im_start|>", "eos_token": "<end_of_utterance>",
            "pad_token": "<|im_end|>",
        },
        "preprocessor_config.json": {**pictures, "image_processor_type": "CLIPImageProcessor"},
        "processor_config.json": {
            "processor_class": "FastVLMProcessor",
            "auto_map": {"AutoProcessor": "processing_fastvlm.FastVLMProcessor"},
        },
    }.items():  # fmt: skip
        (folder / name).write_text(json.dumps(settings), "utf-8")
    return config


def fastvlm(folder: Path, layout: str) -> Path:
    """FastVLM with the tensors of the MLX conversion ("mlx") or Apple's original ("apple"); the
    same numbers in both. mlx_vlm's VisionConfig must have FASTVLM_LAYERS and FASTVLM_WIDTHS."""
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_vlm.models.fastvlm import Model, ModelConfig, TextConfig, VisionConfig
    from safetensors.numpy import save_file as save_arrays

    config = ModelConfig.from_dict(dict(fastvlm_settings(folder)))
    config.text_config = TextConfig.from_dict(config.text_config)
    config.vision_config = VisionConfig()
    random = np.random.default_rng(3)
    tensors = {}
    for name, array in sorted(tree_flatten(Model(config).parameters())):
        # As strong as what comes in, so that the picture reaches the words.
        deviation = 2.0 / math.sqrt(math.prod(array.shape[1:])) if array.ndim > 1 else 0.02
        values = random.normal(0, deviation, array.shape).astype(np.float32)
        if name.endswith(("running_var", "norm.weight", "bn.weight")) or "layer_scale" in name:
            values = 1 + abs(values)
        tensors[name] = values
    if layout == "apple":
        tensors = dict(apples(tensors.items()))
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].copy()
    save_arrays(tensors, folder / "model.safetensors", {"format": "pt"})
    mx.clear_cache()
    return folder


def apples(tensors: Iterable[tuple[str, np.ndarray]]) -> Iterable[tuple[str, np.ndarray]]:
    """Tensors of the MLX conversion, under Apple's names and in torch's order of axes."""
    for name, values in tensors:
        if name.startswith("vision_tower."):
            rest = name.removeprefix("vision_tower.vision_model.")
            rest = rest.replace("patch_embed.blocks", "patch_embed")
            if "layer_scale" in rest:
                values = values.transpose(2, 0, 1)
            elif values.ndim == 4:
                values = values.transpose(0, 3, 1, 2)
            name = f"model.vision_tower.vision_tower.model.{rest}"
            if rest.endswith("running_mean"):
                yield name.replace("running_mean", "num_batches_tracked"), np.array(3)
        elif name.startswith("mm_projector."):
            name = f"model.{name}"
        else:
            name = name.removeprefix("language_model.")
        yield name, np.ascontiguousarray(values)


# -------------------------------------------------------------------- what transformers makes of it

OTHERS = (llava, qwen2_vl, idefics3, one_picture, no_template)
TOKENS = 12
PROMPT = "What is that?"


def pictures() -> dict[str, np.ndarray]:
    """Frames, BGR. Every way of resizing leaves those of one colour as they are."""
    noise = np.random.default_rng(11).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    plain = {"red": (30, 20, 220), "blue": (210, 60, 20)}
    return {
        "noise": noise,
        **{name: np.full((96, 128, 3), colour, np.uint8) for name, colour in plain.items()},
    }


def generated(model: Any, processor: Any, clip: Sequence[Frame]) -> list[float]:
    """The probabilities of the tokens that transformers' own generate makes of a clip."""
    if hasattr(processor.image_processor, "do_image_splitting"):
        processor.image_processor.do_image_splitting = False
    content = [*({"type": "image", "image": frame.rgb()} for frame in clip),
               {"type": "text", "text": PROMPT}]  # fmt: skip
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
    )  # fmt: skip
    made = model.generate(
        **inputs, max_new_tokens=TOKENS, do_sample=False,
        output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip
    tokens = made.sequences[0, inputs["input_ids"].shape[1] :].tolist()
    likely = (float(one[0].softmax(-1)[token]) for one, token in zip(made.logits, tokens))
    return [chance for chance, token in zip(likely, tokens) if token != ENDS]


def asked_through_torch(folder: Path) -> dict[str, Any]:
    """Of each picture and of all as a clip: what TorchEngine says, the probabilities of its tokens,
    and of those of transformers' generate."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from narrator.engines.choice import choose_engine, open_engine
    from narrator.engines.torch import TorchEngine
    from narrator.errors import PeteError
    from support.asking import chances, query, text_of

    facts: dict[str, Any] = {}
    single = {name: [Frame(image, 0.0, 0.0)] for name, image in pictures().items()}
    clips = {"clip": [clip[0] for clip in single.values()], **single}  # what may be refused first
    try:
        opened = open_engine(choose_engine("torch", None), str(folder), folder.parent / "cache")
        facts["opened"] = type(opened).__name__
        engine = TorchEngine(folder, "cpu", torch.float32)
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
        processor = AutoProcessor.from_pretrained(folder)
        for name, clip in clips.items():
            asked = query(clip, PROMPT, TOKENS)
            facts[name] = {
                "said": text_of(engine.describe(asked)),
                "chances": chances(engine, asked),
                "likely": engine.likelihoods(asked, ["Is it red?", "Is it?"]),
                "expected": generated(model, processor, clip),
            }
        next(engine.describe(query(clips["red"], PROMPT, 1, detail=True)))
        facts["detail"] = True
    except PeteError as error:
        facts["refused"] = [type(error).__name__, str(error)]
    return facts
