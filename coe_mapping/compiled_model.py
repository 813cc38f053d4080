"""The kernels of a language model, compiled for a machine, and the memory that they and its tensors take."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from coe_mapping.bitstream import encode
from coe_mapping.compile import Compiled, compile_program
from coe_mapping.kernels import image
from coe_mapping.kernels.decoder import Kernel, LayerShape, Layout, decoder_layer
from coe_mapping.kernels.embedding import EmbeddingLayout, embedding
from coe_mapping.kernels.head import HeadLayout, HeadShape, head, rows_apart
from coe_mapping.kernels.looped import looped
from coe_mapping.kernels.memory import ELEMENT_BYTES, Binding
from coe_mapping.memory_plan import Need, granule_bytes
from coe_mapping.models.model import Model, ModelConfig
from coe_mapping.program import Program
from coe_mapping.schedule import argument_bytes, list_bytes
from golden_model.operators import ContractArithmetic
from hdl.params import RDUParams, require
from hdl.unit_map import unit_map

Array = NDArray[Any]


@dataclass(frozen=True)
class Sizes:
    """How much goes through the kernels at once.

    Attributes:
        prompt: rows of a prefill pass; a longer prompt takes several. batch: sequences that are decoded together.
        positions: of each sequence's cache.
    """

    prompt: int
    batch: int
    positions: int

    def __post_init__(self) -> None:
        require(
            min(self.prompt, self.batch, self.positions) >= 1,
            f"language model: {self.prompt} prompt rows, a batch of {self.batch}, caches of {self.positions} "
            "positions: give at least one of each",
        )


class Programs(NamedTuple):
    """Names of the programs of a phase. ``layer`` runs one layer, ``layers`` all of them; of prefill, where the weights
    of the next layer would delay those of the present one, the same."""

    embedding: str
    layer: str
    layers: str
    head: str

    @property
    def loops(self) -> bool:
        """Whether all layers may be one launch."""
        return self.layers != self.layer


@dataclass(frozen=True)
class Phase:
    """Prefill or decode: the layouts of its three kernels, and their programs.

    ``steps``: bytes from a layer's region to the next layer's, by name. ``inputs``: passes whose tokens are embedded
    before the first of them: of prefill, those of all prompts. A head that embeds the tokens it finds leaves them as
    input of decode.
    """

    name: str
    embedding: EmbeddingLayout
    layer: Layout
    head: HeadLayout
    programs: Programs
    steps: Mapping[str, int]
    inputs: int

    @property
    def row_bytes(self) -> int:
        """Of hidden state."""
        return self.layer.output.width * ELEMENT_BYTES

    @property
    def step(self) -> int:
        """Bytes from the hidden state before a layer to that behind it, and from an input to the next."""
        return self.steps["y"]

    @property
    def tokens_bytes(self) -> int:
        """From the tokens of a pass to those of the next, whole granules."""
        granule = granule_bytes(self.layer.params)
        tokens = max(self.embedding.regions["tokens"].bytes, self.head.regions["tokens"].bytes)
        return -(-tokens // granule) * granule

    @property
    def sequence_bytes(self) -> int:
        """Of the keys, or the values, of one sequence."""
        return self.layer.cache_rows * self.layer.cache_pitch * ELEMENT_BYTES

    def hidden_bytes(self, layers: int) -> int:
        """Of all inputs, of the hidden states behind ``layers``, and of as many rows as a head looks at beyond the
        last."""
        return (self.inputs + layers) * self.step + (self.head.padded_rows - 1) * self.row_bytes

    def hidden(self, layer: int) -> int:
        """Bytes into the hidden states to what ``layer`` leaves."""
        return (self.inputs + layer) * self.step


@dataclass(frozen=True)
class CompiledModel:
    """The kernels of models of one shape on one kind of machine; phases share programs that are equal."""

    params: RDUParams
    config: ModelConfig
    sizes: Sizes
    prefill: Phase
    decode: Phase
    programs: Mapping[str, Compiled]

    @cached_property
    def program_bytes(self) -> dict[str, int]:
        """Of every program's bitstream."""
        machine = unit_map(self.params)
        return {name: len(encode(machine, program.bitstream)) for name, program in self.programs.items()}


def compile_model(params: RDUParams, config: ModelConfig, sizes: Sizes, *, seed: int = 0) -> CompiledModel:
    """Compiles the kernels of both phases.

    Raises:
        ParameterError: one of them does not fit the machine.
    """
    programs: dict[str, Compiled] = {}

    def add(name: str, program: Program, bindings: Sequence[Binding]) -> str:
        if name not in programs:
            programs[name] = compile_program(params, program, bindings, seed=seed)
        return name

    def layer_of(rows: int, *, batch: bool) -> Kernel:
        widths = (config.hidden, config.heads, config.kv_heads, config.head_size, config.intermediate, config.epsilon)
        return decoder_layer(params, LayerShape(*widths, rows, sizes.positions, batch))

    def phase(name: str, layer: Kernel, rows: int, head_rows: int, inputs: int, *, batch: bool) -> Phase:
        own = layer.layout.steps
        steps = {**shared, "x": own["x"], "y": own["y"]}
        first = embedding(params, config.hidden, config.vocabulary, rows)
        embeds = batch or head_rows == 1  # a row of several would not be that of its sequence
        last = head(params, HeadShape(config.hidden, config.vocabulary, config.epsilon, head_rows, embeds))
        all_layers = looped(layer, config.layers, steps)
        names = Programs(
            add(f"embedding of {rows}", first.program, first.bindings),
            add(f"{name} layer", layer.program, layer.bindings),
            add(f"{name} layers", all_layers.program, all_layers.bindings) if batch else f"{name} layer",
            add(f"{name} head", last.program, last.bindings),
        )
        return Phase(name, first.layout, layer.layout, last.layout, names, steps, inputs)

    one, many = layer_of(sizes.prompt, batch=False), layer_of(sizes.batch, batch=True)
    shared = many.layout.steps  # weights and caches are those of decode, with room for all sequences
    passes = sizes.batch * -(-sizes.positions // sizes.prompt)
    prefill = phase("prefill", one, sizes.prompt, rows_apart(params, config.hidden), passes, batch=False)
    decode = phase("decode", many, sizes.batch, sizes.batch, 1, batch=True)
    return CompiledModel(params, config, sizes, prefill, decode, programs)


def needs(compiled: CompiledModel) -> Iterator[Need]:
    """Every region by name; traffic is that of one prefill and one decode pass.

    Launches are those of a prefill pass, then those of a decode pass: the embedding, the layers, the head. What a layer
    has of its own lies a step behind what the layer before has (:attr:`Layout.steps`). The heads of prefill leave rows
    of decode's input, so that its states live all the time.
    """
    layers = compiled.config.layers
    yield from _tensors(compiled)
    yield from _states(compiled.prefill, layers, 0, layers + 1)
    yield from _states(compiled.decode, layers, 0, 2 * layers + 3)
    for name, size in compiled.program_bytes.items():
        yield Need(f"program.{name}", size, traffic=2 * size)
    arguments = max(_argument_bytes(compiled, phase) for phase in (compiled.prefill, compiled.decode))
    yield Need("arguments", arguments, traffic=arguments)
    commands = list_bytes(compiled.prefill.inputs + layers + 1)
    yield Need("commands", commands, traffic=commands)


def _argument_bytes(compiled: CompiledModel, phase: Phase) -> int:
    """Of the arguments of a pass."""
    first, layer, _, last = (compiled.programs[name] for name in phase.programs)
    return argument_bytes([*[first] * phase.inputs, *[layer] * compiled.config.layers, last])


def weight_regions(compiled: CompiledModel) -> list[str]:
    """The regions that differ between models of one shape; nothing is ever stored in them."""
    return [*compiled.decode.layer.weights, *compiled.decode.layer.norms, "table", "final_norm", "head"]


def contents(compiled: CompiledModel, model: Model) -> Iterator[tuple[str, int, Array]]:
    """What regions hold before the first pass: name, bytes into the region, integers of any width."""
    phase, rotary = compiled.decode, model.config.rotary
    yield "table", 0, image.embedding_table(phase.embedding, model)
    yield from ((name, 0, tensor) for name, tensor in image.head_weights(phase.head, model).items())
    arithmetic = ContractArithmetic(compiled.params.lanes)
    tables = arithmetic.rotary_tables(rotary.frequencies, rotary.amplitude, phase.layer.cache_rows)
    yield from ((name, 0, table) for name, table in image.rotary_tables(phase.layer, *tables).items())
    empty = np.zeros(phase.layer.regions["keys"].bytes, np.uint8)  # what is masked must still be numbers
    for i in range(model.config.layers):
        for name, tensor in image.layer_weights(phase.layer, model, i).items():
            yield name, i * phase.steps[name], tensor
        yield "keys", i * phase.steps["keys"], empty
        yield "values", i * phase.steps["values"], empty


def _tensors(compiled: CompiledModel) -> Iterator[Need]:
    """What stays: weights, tables, caches."""
    prefill, decode, layers = compiled.prefill, compiled.decode, compiled.config.layers
    layer, passes = decode.layer.regions, prefill.layer.heads.blocks + decode.layer.heads.blocks
    for name in (*decode.layer.weights, *decode.layer.norms):
        yield Need(name, layers * decode.steps[name], traffic=layers * passes * layer[name].bytes)
    for name in ("keys", "values"):
        moved = layer[name].bytes + prefill.sequence_bytes
        yield Need(name, layers * decode.steps[name], traffic=layers * moved)
    rows = prefill.layer.padded_rows + decode.layer.padded_rows
    for name in ("cosines", "sines"):
        used = 2 * layers * rows * decode.layer.head_pitch * ELEMENT_BYTES  # for queries and for keys
        yield Need(name, layer[name].bytes, traffic=used)
    yield Need("table", decode.embedding.regions["table"].bytes, traffic=rows * decode.row_bytes)
    for name in ("final_norm", "head"):
        yield Need(name, decode.head.regions[name].bytes, traffic=2 * decode.head.regions[name].bytes)


def _states(phase: Phase, layers: int, start: int, end: int) -> Iterator[Need]:
    """What goes through passes from launch ``start`` to ``end``; the host writes before them, and reads after them."""
    hidden = phase.hidden_bytes(layers)
    positions = phase.layer.regions["positions"].bytes
    yield Need(f"{phase.name}.positions", positions, start, end, traffic=layers * positions)
    yield Need(f"{phase.name}.hidden", hidden, start, end, traffic=2 * hidden)
    tokens = phase.inputs * phase.tokens_bytes
    yield Need(f"{phase.name}.tokens", tokens, traffic=2 * tokens)
