"""Trains one small Llama-style model on one or more tasks and writes it as a Hugging Face folder (extra ``train``).

The model is the family's own arithmetic in PyTorch, with the parameter names of ``transformers``, so that the folder
opens there, here, and anywhere else. It trains in float32 on one thread, seeded: the same machine and versions give the
same weights.
"""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from coe_mapping.models.tasks import ALPHABET, END, Example, Task

IGNORED = -100  # target that costs nothing, as in torch
ROPE_THETA = 10000.0
EPSILON = 1e-5


@dataclass(frozen=True)
class Shape:
    """Sizes of a model; head counts and widths as in ``config.json``."""

    hidden: int = 64
    intermediate: int = 128
    layers: int = 3
    heads: int = 4
    kv_heads: int = 2
    head_size: int = 16


@dataclass(frozen=True)
class Recipe:
    """How it is trained: AdamW, a short warm-up, then a cosine to zero."""

    seed: int = 1
    steps: int = 3000
    batch: int = 256
    rate: float = 4e-3
    decay: float = 0.05
    pool: int = 100_000
    warm_up: int = 100


class Norm(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON) * self.weight


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        queries, keys = shape.heads * shape.head_size, shape.kv_heads * shape.head_size
        self.q_proj = nn.Linear(shape.hidden, queries, bias=False)
        self.k_proj = nn.Linear(shape.hidden, keys, bias=False)
        self.v_proj = nn.Linear(shape.hidden, keys, bias=False)
        self.o_proj = nn.Linear(queries, shape.hidden, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        q, k, v = (self._heads(project(x)) for project in (self.q_proj, self.k_proj, self.v_proj))
        group = self.shape.heads // self.shape.kv_heads
        k, v = rotated(k, cos, sin).repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        y = functional.scaled_dot_product_attention(rotated(q, cos, sin), k, v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.shape.head_size)).transpose(1, 2)


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding in the half-split layout of ``transformers``."""
    left, right = x.chunk(2, -1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), -1)


class Mlp(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.intermediate, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.intermediate, bias=False)
        self.down_proj = nn.Linear(shape.intermediate, shape.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = Norm(shape.hidden), Norm(shape.hidden)
        self.self_attn, self.mlp = Attention(shape), Mlp(shape)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(len(ALPHABET), shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.hidden)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.5 / math.sqrt(parameter.shape[1]))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, length, alphabet) of tokens (batch, length); the embedding is also the output projection."""
        frequencies = ROPE_THETA ** (-torch.arange(0, self.shape.head_size, 2) / self.shape.head_size)
        angles = torch.outer(torch.arange(tokens.shape[1]), frequencies)
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x, angles.cos(), angles.sin())
        return functional.linear(self.norm(x), self.embed_tokens.weight)


def encoded(examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Inputs and targets (n, length): the prompt costs nothing, each letter of the answer and its end do."""
    texts = [f"{END}{e.prompt}{e.answer}{END}" for e in examples]
    length = max(map(len, texts))
    index = {letter: i for i, letter in enumerate(ALPHABET)}
    tokens = torch.tensor([[index[c] for c in text.ljust(length, END)] for text in texts])
    targets = tokens[:, 1:].clone()
    for row, example in enumerate(examples):
        start = len(example.prompt)
        targets[row, :start] = IGNORED
        targets[row, start + len(example.answer) + 1 :] = IGNORED
    return tokens[:, :-1], targets


def train(tasks: Sequence[Task], shape: Shape, recipe: Recipe) -> Decoder:
    """A model trained on equal parts of the tasks' training examples."""
    torch.set_num_threads(1)
    torch.manual_seed(recipe.seed)
    share = recipe.pool // len(tasks)
    inputs, targets = encoded([e for t in tasks for e in islice(t.examples(recipe.seed, held_out=False), share)])
    model = Decoder(shape)
    optimizer = torch.optim.AdamW(model.parameters(), recipe.rate, betas=(0.9, 0.98), weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share_of_rate(step, recipe))
    for step in track(range(recipe.steps), f"training {' '.join(t.name for t in tasks)}"):
        rows = torch.randint(len(inputs), (recipe.batch,))
        loss = functional.cross_entropy(
            model(inputs[rows]).flatten(0, 1), targets[rows].flatten(), ignore_index=IGNORED
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 500 == 499:
            print(f"step {step + 1}: loss {loss.item():.4f}")
    return model


def _share_of_rate(step: int, recipe: Recipe) -> float:
    if step < recipe.warm_up:
        return (step + 1) / recipe.warm_up
    return 0.5 + 0.5 * math.cos(math.pi * (step - recipe.warm_up) / (recipe.steps - recipe.warm_up))


def save(model: Decoder, folder: Path) -> None:
    """Writes ``config.json``, ``model.safetensors`` in BF16 and ``tokenizer.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": tensor.to(torch.bfloat16) for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # the package makes it private
    _write(folder / "config.json", _config(model.shape))
    _write(folder / "tokenizer.json", tokenizer())


def _config(shape: Shape) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "bfloat16",
        "vocab_size": len(ALPHABET),
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_size,
        "hidden_act": "silu",
        "rms_norm_eps": EPSILON,
        "rope_theta": ROPE_THETA,
        "max_position_embeddings": 128,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "bos_token_id": ALPHABET.index(END),
        "eos_token_id": ALPHABET.index(END),
    }


def tokenizer() -> dict[str, Any]:
    """``tokenizer.json`` of one token a letter."""
    return {
        "version": "1.0",
        "added_tokens": [
            {
                "id": ALPHABET.index(END),
                "content": END,
                "special": True,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
            }
        ],
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated", "invert": False},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": END, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {END: {"id": END, "ids": [ALPHABET.index(END)], "tokens": [END]}},
        },
        "decoder": {"type": "Fuse"},
        "model": {
            "type": "WordLevel",
            "vocab": {letter: i for i, letter in enumerate(ALPHABET)},
            "unk_token": END,
        },
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


def train_and_save(tasks: Sequence[Task], shape: Shape, recipe: Recipe, folder: Path) -> None:
    """Trains, saves, and writes how it was done to ``training.json``."""
    start = time.monotonic()
    save(train(tasks, shape, recipe), folder)
    _write(
        folder / "training.json",
        {
            "tasks": [t.name for t in tasks],
            "shape": asdict(shape),
            "recipe": asdict(recipe),
            "torch": torch.__version__,
            "seconds": round(time.monotonic() - start),
        },
    )
