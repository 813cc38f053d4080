"""A decoder layer of the Llama family, operator by operator: the baseline that fusion is compared with."""

from collections.abc import Iterator, Sequence
from functools import partial

from coe_mapping.bandwidth import bound, predict
from coe_mapping.kernels.layout import LayerShape
from coe_mapping.kernels.unfused.attention import scores, softmax, values
from coe_mapping.kernels.unfused.draft import UnfusedKernel
from coe_mapping.kernels.unfused.layout import UnfusedLayout
from coe_mapping.kernels.unfused.rows import append, gated_product, linear, norm, rotate
from hdl.arith.special_tables import Function
from hdl.errors import ParameterError
from hdl.params import RDUParams

WAYS = (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 16, 18, 24)
"""Numbers of shares that are tried."""

PAIRS = tuple((a, b) for a in WAYS for b in WAYS if a * b <= max(WAYS))

SAMPLES, PASSES = 200, 2
"""Of the bandwidth model: enough to compare ways."""

Maker = partial[UnfusedKernel]
"""Makes a kernel when it is told the ways."""


def unfused_layer(params: RDUParams, shape: LayerShape) -> tuple[UnfusedKernel, ...]:
    """The kernels of one layer in the order in which they are launched, all on one layout.

    Each is spread over the machine in the way that takes fewest cycles.

    Raises:
        ParameterError: a kernel does not fit in any way.
    """
    return tuple(best(list(fitting(makers))) for makers in operators(UnfusedLayout(params, shape)))


def operators(layout: UnfusedLayout) -> Iterator[Sequence[Maker]]:
    """The operators in order, each as the forms its kernel can have."""
    heads, key_heads = layout.shape.heads, layout.shape.key_heads

    def product(
        name: str, weight: str, source: str, *, initial: str | None = None, function: Function | None = None
    ) -> Sequence[Maker]:
        make = partial(linear, layout, name, weight, source, initial=initial, function=function)
        return [partial(make, gathered=gathered) for gathered in (False, True)]

    yield [partial(norm, layout, "attention_normed", "x", "attention_norm")]
    yield product("queries", "query", "attention_normed")
    yield [partial(rotate, layout, "rotated_queries", "queries", heads)]
    yield product("new_keys", "key", "attention_normed")
    yield [partial(rotate, layout, "rotated_keys", "new_keys", key_heads)]
    yield product("new_values", "value", "attention_normed")
    yield [partial(append, layout, "keys", "rotated_keys")]
    yield [partial(append, layout, "values", "new_values")]
    yield [partial(scores, layout)]
    yield [partial(softmax, layout)]
    yield [partial(values, layout)]
    yield product("after_attention", "output", "mixed", initial="x")
    yield [partial(norm, layout, "mlp_normed", "after_attention", "feed_forward_norm")]
    yield product("gated", "gate", "mlp_normed", function=Function.SILU)
    yield product("raised", "up", "mlp_normed")
    yield [partial(gated_product, layout, "product")]
    yield product("y", "down", "product", initial="after_attention")


def fitting(makers: Sequence[Maker]) -> Iterator[UnfusedKernel]:
    """The kernels of one operator in every way that fits; ways that come to the same, because there is less to share
    out, once.

    Raises:
        ParameterError: nothing fits; the reason is that of the fewest shares.
    """
    refusal: ParameterError | None = None
    known: set[tuple[object, ...]] = set()
    for maker in makers:
        for ways in PAIRS:
            try:
                kernel = maker(ways)
            except ParameterError as error:
                refusal = refusal or error
                continue
            same = kernel.ways, *kernel.units.values()
            if same not in known:
                known.add(same)
                yield kernel
    if refusal is not None and not known:
        raise refusal


def best(kernels: Sequence[UnfusedKernel]) -> UnfusedKernel:
    """The one that takes fewest cycles; of several, the one with fewest units."""
    params = kernels[0].layout.params
    bounds = [bound(params, kernel.program) for kernel in kernels]
    found, fewest = kernels[0], (float("inf"), 0)
    for least, kernel in sorted(zip(bounds, kernels, strict=True), key=lambda pair: pair[0]):
        if least > fewest[0]:
            break
        cycles = predict(params, kernel.program, samples=SAMPLES, passes=PASSES).cycles
        cost = round(cycles), sum(kernel.units.values())
        if cost < fewest:
            found, fewest = kernel, cost
    return found
