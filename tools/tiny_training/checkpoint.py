"""The files of the small checkpoint: tokenizer, configuration, processor, weights."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn

from support.drawn_scenes import (
    every_caption,
    random_layout,
    random_pair,
)
from tiny_training.pictures import IMAGE_TOKENS, PATCH, SCALE, TILE
from tiny_training.turns import DEFAULT_PROMPT, END, PROMPTS, START, TURN_END, random_question

TOKENIZER_SEED = 20
VOCABULARY = 640
FIRST_TOKENS = 512  # of those: byte pairs found in captions; the others are whole words
TEXT_LAYERS = 6
MOTION_CAPTIONS = (  # for the tokenizer
    "A red circle moving right.",
    "A blue square moving left.",
    "A green triangle moving up.",
    "An orange star moving down.",
    "A white star coming in from the left.",
)
SPECIAL_TOKENS = [
    "<|endoftext|>",
    START,
    END,
    "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)),
    "<fake_token_around_image>",
    "<image>",
    TURN_END,
]
CHAT_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


def build_tokenizer() -> Tokenizer:
    """A byte-level BPE of `VOCABULARY` tokens: any text can be encoded, the grammar's words in one
    token each."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=FIRST_TOKENS,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    turns = ["User:", "Assistant:"] * 300
    text = (
        every_caption() * 3
        + list(MOTION_CAPTIONS) * 40
        + [DEFAULT_PROMPT] * 60
        + list(PROMPTS)
        + turns
    )
    tokenizer.train_from_iterator(text, trainer)
    return with_words(tokenizer)


def with_words(tokenizer: Tokenizer) -> Tokenizer:
    """`tokenizer` with the words of answers and questions that it would split, the most frequent
    first, as tokens of their own, until there are `VOCABULARY`; what it has keeps its number."""
    rng = np.random.default_rng(TOKENIZER_SEED)
    counts: Counter[str] = Counter()
    for number in range(20_000):
        scene = random_pair(rng) if number % 2 else random_layout(rng)
        question = random_question(rng, scene)
        turns = [(question.text, question.answer), *([question.before] if question.before else [])]
        for asked, told in turns:
            split = tokenizer.pre_tokenizer.pre_tokenize_str
            counts.update(word for word, _ in split(asked))
            counts.update({word: 5 for word, _ in split(f" {told}")})
    for word, _ in counts.most_common():
        state = json.loads(tokenizer.to_str())
        vocabulary, merges = state["model"]["vocab"], state["model"]["merges"]
        parts = [token.value for token in tokenizer.model.tokenize(word)]
        while len(parts) > 1 and len(vocabulary) < VOCABULARY:
            merges.append(parts[:2])
            parts[:2] = ["".join(parts[:2])]
            vocabulary[parts[0]] = len(vocabulary)
        tokenizer = Tokenizer.from_str(json.dumps(state))
        if len(vocabulary) == VOCABULARY:
            break
    return tokenizer


def model_config(tokenizer: Tokenizer) -> dict:
    """config.json in the keys of the official repository (with `rope_theta`, which mlx-vlm
    reads)."""
    token = tokenizer.token_to_id
    return {
        "architectures": ["SmolVLMForConditionalGeneration"],
        "bos_token_id": token(START),
        "eos_token_id": token(TURN_END),
        "image_token_id": token("<image>"),
        "model_type": "smolvlm",
        "pad_token_id": token(END),
        "scale_factor": SCALE,
        "text_config": {
            "architectures": ["VLlama3ForCausalLM"],
            "bos_token_id": token(START),
            "eos_token_id": token(TURN_END),
            "head_dim": 32,
            "hidden_size": 128,
            "intermediate_size": 384,
            "is_llama_config": True,
            "max_position_embeddings": 2048,
            "model_type": "llama",
            "num_attention_heads": 4,
            "num_hidden_layers": TEXT_LAYERS,
            "num_key_value_heads": 2,
            "pad_token_id": token(END),
            "pixel_shuffle_factor": SCALE,
            "rms_norm_eps": 1e-05,
            "rope_theta": 100000,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
            "vocab_size": VOCABULARY,
        },
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vision_config": {
            "hidden_size": 192,
            "image_size": TILE,
            "intermediate_size": 576,
            "max_image_size": {"longest_edge": TILE},
            "model_type": "smolvlm_vision",
            "num_attention_heads": 6,
            "num_hidden_layers": 3,
            "patch_size": PATCH,
            "size": {"longest_edge": 4 * TILE},
            "tie_word_embeddings": False,
        },
        "vocab_size": VOCABULARY,
    }


def processor_configs() -> dict[str, dict]:
    """The processor's files. One tile a picture: the model has never seen a tiled one."""
    return {
        "preprocessor_config.json": {
            "do_convert_rgb": True,
            "do_image_splitting": False,
            "do_normalize": True,
            "do_pad": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "SmolVLMImageProcessor",
            "image_std": [0.5, 0.5, 0.5],
            "max_image_size": {"longest_edge": TILE},
            "processor_class": "SmolVLMProcessor",
            "resample": 1,
            "rescale_factor": 1 / 255,
            "size": {"longest_edge": 4 * TILE},
            "video_sampling": {"fps": 1, "max_frames": 64, "video_size": {"longest_edge": TILE}},
        },
        "processor_config.json": {
            "image_seq_len": IMAGE_TOKENS,
            "processor_class": "SmolVLMProcessor",
        },
        "chat_template.json": {"chat_template": CHAT_TEMPLATE},
    }


def tokenizer_configs(tokenizer: Tokenizer) -> dict[str, dict]:
    """The files beside tokenizer.json."""
    names = {
        "bos_token": START,
        "end_of_utterance_token": TURN_END,
        "eos_token": TURN_END,
        "fake_image_token": "<fake_token_around_image>",
        "global_image_token": "<global-img>",
        "image_token": "<image>",
        "pad_token": END,
        "unk_token": "<|endoftext|>",
    }
    extra = ["<fake_token_around_image>", "<image>", TURN_END]
    flags = {
        "lstrip": False,
        "normalized": False,
        "rstrip": False,
        "single_word": False,
        "special": True,
    }
    added = {str(tokenizer.token_to_id(text)): {"content": text} | flags for text in SPECIAL_TOKENS}
    config = {
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        "additional_special_tokens": extra,
        "clean_up_tokenization_spaces": False,
        "extra_special_tokens": {
            k: v for k, v in names.items() if "image" in k or "utterance" in k
        },
        "model_max_length": 2048,
        "processor_class": "SmolVLMProcessor",
        "tokenizer_class": "GPT2Tokenizer",
        "truncation_side": "left",
        "vocab_size": VOCABULARY,
    }
    return {
        "tokenizer_config.json": config | names,
        "special_tokens_map.json": {"additional_special_tokens": extra} | names,
    }


def write_layout(folder: Path, tokenizer: Tokenizer) -> None:
    """Write every file of the checkpoint but its weights and the clip."""
    folder.mkdir(parents=True, exist_ok=True)
    config = model_config(tokenizer)
    generation = {name: config[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    files = {
        "config.json": config,
        "generation_config.json": {"_from_model_config": True} | generation,
    }
    files |= processor_configs() | tokenizer_configs(tokenizer)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")
    tokenizer.save(str(folder / "tokenizer.json"))


def write_weights(folder: Path, model: nn.Module) -> None:
    """Write model.safetensors in bfloat16, as the official weights are."""
    state = model.state_dict()
    state = {
        name: tensor.detach().to("cpu", torch.bfloat16).contiguous()
        for name, tensor in state.items()
    }
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def load_model(folder: Path, fresh: bool) -> nn.Module:
    """The model that `folder` describes, in float32; `fresh`: with random weights."""
    from transformers import AutoConfig, SmolVLMForConditionalGeneration

    if not fresh:
        return SmolVLMForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    config = AutoConfig.from_pretrained(folder)
    model = SmolVLMForConditionalGeneration._from_config(config, dtype=torch.float32)
    model.set_attn_implementation("eager")  # torch's own is slower backwards at this size
    vision = model.model.vision_model
    vision.embeddings.patch_embedding.weight.data.copy_(
        patch_patterns(len(vision.post_layernorm.weight))
    )
    nn.init.normal_(vision.embeddings.position_embedding.weight, std=0.3)
    nn.init.xavier_uniform_(model.model.connector.modality_projection.proj.weight)
    return model


def grown_model(folder: Path, tokenizer: Tokenizer, grown: Path) -> nn.Module:
    """The model in `folder`, with what `grown` asks for and it lacks: rows for the new tokens, each
    the mean of what stood for it, and layers of the language model that change nothing yet."""
    old, new = load_model(folder, fresh=False), load_model(grown, fresh=True)
    spelled = Tokenizer.from_file(str(folder / "tokenizer.json"))
    state = new.state_dict()
    for name, weight in old.state_dict().items():
        if weight.shape == state[name].shape:
            state[name] = weight
            continue
        state[name][: len(weight)] = weight  # of the embeddings and of the head
        for number in range(len(weight), len(state[name])):
            text = tokenizer.decode([number])
            parts = spelled.encode(text, add_special_tokens=False).ids
            state[name][number] = weight[parts].mean(dim=0)
    for name in set(state) - set(old.state_dict()):
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            state[name].zero_()
    new.load_state_dict(state)
    return new


def patch_patterns(count: int) -> torch.Tensor:
    """First weights of the patch embedding, (count, 3, PATCH, PATCH): brightness and two colour
    contrasts times the smoothest two-dimensional cosines, so that patches are told apart by what is
    on them from the start."""
    phase = (torch.arange(PATCH) + 0.5) * math.pi / PATCH
    waves = torch.stack([torch.cos(k * phase) for k in range(8)])
    grid = sorted((i * i + j * j, i, j) for i in range(8) for j in range(8))
    contrasts = torch.tensor([[1.0, 1.0, 1.0], [1.4, -0.7, -0.7], [0.0, 1.2, -1.2]]) / 3
    patterns = [
        contrast[:, None, None] * torch.outer(waves[i], waves[j]) * (4.0 / PATCH**2)
        for _, i, j in grid
        for contrast in contrasts
    ]
    return torch.stack(patterns[:count])
