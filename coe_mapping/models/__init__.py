"""Models in: checkpoints of the Llama family from the three formats in use, their tokenizers, and tasks to train on."""

from coe_mapping.models.model import Model, ModelConfig, ModelError, Rotary, layer_tensor
from coe_mapping.models.read import read_model
from coe_mapping.models.tokenizer import Tokenizer, read_tokenizer

__all__ = [
    "Model",
    "ModelConfig",
    "ModelError",
    "Rotary",
    "Tokenizer",
    "layer_tensor",
    "read_model",
    "read_tokenizer",
]
