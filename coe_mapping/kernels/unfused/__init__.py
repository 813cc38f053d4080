"""The unfused baseline: every operator of a decoder layer as a kernel of its own, from memory to memory."""

from coe_mapping.kernels.unfused.draft import UnfusedKernel
from coe_mapping.kernels.unfused.layer import unfused_layer
from coe_mapping.kernels.unfused.layout import UnfusedLayout, tensor_of

__all__ = ["UnfusedKernel", "UnfusedLayout", "tensor_of", "unfused_layer"]
