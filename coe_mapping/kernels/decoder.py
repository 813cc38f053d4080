"""A decoder layer as one kernel, spread over a machine as the bandwidth model finds best."""

from coe_mapping.kernels.layer import Kernel, build_layer
from coe_mapping.kernels.layout import LayerShape, Layout
from coe_mapping.kernels.shares import Shares
from coe_mapping.kernels.spread import spread
from hdl.params import RDUParams

__all__ = ["Kernel", "LayerShape", "Layout", "Shares", "decoder_layer"]


def decoder_layer(params: RDUParams, shape: LayerShape, shares: Shares | None = None) -> Kernel:
    """The kernel of one layer.

    Args:
        shares: how its products are shared out; default: as takes fewest cycles.

    Raises:
        ParameterError: it does not fit.
    """
    return spread(params, shape) if shares is None else build_layer(Layout(params, shape), shares)
