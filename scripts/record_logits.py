"""Records logits of the ``transformers`` implementation on small random models, for tests: ``tests/fixtures/logits``.

``python -m scripts.record_logits`` (extra ``train``). Weights are rounded to BF16 and saved by transformers itself; the
logits are computed from them in float64 (transformers makes its rotary angles in float32 all the same).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

FIXTURES = Path(__file__).parent.parent / "tests" / "fixtures" / "logits"
SEED, LENGTH = 5, 40

# Sizes that divide nothing evenly, so that no transposition or wrong stride goes unseen.
SIZES: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 30,  # transformers wants a multiple of the heads; ours is free of that
    "intermediate_size": 45,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 10,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MODELS: dict[str, dict[str, Any]] = {
    "plain": {"tie_word_embeddings": False, "rope_parameters": {"rope_type": "default", "rope_theta": 5e4}},
    "linear": {"num_key_value_heads": 1, "rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 3.0}},
    "llama3": {
        "tie_word_embeddings": True,
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 1e3,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    },
    "yarn": {
        "num_key_value_heads": 6,
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 1e3,
            "factor": 4.0,
            "original_max_position_embeddings": 16,
        },
    },
}


def record(name: str, options: Mapping[str, Any]) -> None:
    """Writes the model's folder and ``logits.npz``: tokens (LENGTH,), logits (LENGTH, vocabulary) float32."""
    torch.manual_seed(SEED)
    model = LlamaForCausalLM(LlamaConfig(**{**SIZES, **options}, initializer_range=0.25))
    for parameter in model.parameters():
        if parameter.dim() == 1:  # norms' weights, all one so far
            torch.nn.init.normal_(parameter, 1.0, 0.2)
    model.to(torch.bfloat16).save_pretrained(FIXTURES / name)
    (FIXTURES / name / "generation_config.json").unlink()
    tokens = torch.randint(SIZES["vocab_size"], (1, LENGTH))
    # read anew in float64: the BF16 model has rounded its rotary frequencies too
    exact = LlamaForCausalLM.from_pretrained(FIXTURES / name, dtype=torch.float64, attn_implementation="eager")
    with torch.no_grad():
        logits = exact(tokens).logits[0]
    np.savez_compressed(FIXTURES / name / "logits.npz", tokens=tokens[0].numpy(), logits=logits.float().numpy())


if __name__ == "__main__":
    for name, options in MODELS.items():
        record(name, options)
