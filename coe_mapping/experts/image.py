"""An expert as one run of bytes: the weights of a compiled model behind each other, so that one copy moves it."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coe_mapping.compiled_model import CompiledModel, contents, needs, weight_regions
from coe_mapping.memory_plan import granule_bytes
from coe_mapping.models.model import Model

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class ImageLayout:
    """Where in the image each weight region begins, on granules; that of all layers of a tensor is one."""

    offsets: Mapping[str, int]
    bytes: int


def image_layout(compiled: CompiledModel) -> ImageLayout:
    """The layout that all experts of one shape share."""
    sizes = {need.name: need.bytes for need in needs(compiled)}
    granule, offsets, end = granule_bytes(compiled.params), {}, 0
    for name in weight_regions(compiled):
        offsets[name] = end
        end += -(-sizes[name] // granule) * granule
    return ImageLayout(offsets, end)


def expert_image(compiled: CompiledModel, model: Model) -> Bytes:
    """The bytes of an expert."""
    layout = image_layout(compiled)
    image = np.zeros(layout.bytes, np.uint8)
    for name, offset, content in contents(compiled, model):
        if name in layout.offsets:
            data = np.ascontiguousarray(content).view(np.uint8).reshape(-1)
            image[layout.offsets[name] + offset :][: len(data)] = data
    return image


def image_checksum(image: Bytes) -> int:
    """CRC-32, as of bitstreams."""
    return zlib.crc32(image.tobytes())
