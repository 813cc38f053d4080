"""Any supported checkpoint by its path."""

from pathlib import Path

from coe_mapping.models.gguf_file import read_gguf
from coe_mapping.models.hugging_face import read_hugging_face
from coe_mapping.models.llama2c import read_llama2c
from coe_mapping.models.model import Model, ModelError


def read_model(path: Path) -> Model:
    """A Hugging Face folder, a ``.gguf`` file or a llama2.c ``.bin`` file.

    Raises:
        ModelError: it is none of these, or unsound.
    """
    if path.is_dir():
        return read_hugging_face(path)
    if not path.exists():
        raise ModelError(f"{path} does not exist: give a Hugging Face folder, a .gguf file or a llama2.c .bin file")
    readers = {".gguf": read_gguf, ".bin": read_llama2c}
    if path.suffix not in readers:
        raise ModelError(f"{path} is of no known kind: a Hugging Face folder, a .gguf file or a llama2.c .bin file is")
    return readers[path.suffix](path)
