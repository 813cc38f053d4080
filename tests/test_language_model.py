"""A language model on the golden socket: embedding and head kernels, and whole generations, bit for bit."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from coe_mapping import ideal
from coe_mapping.compile import compile_program
from coe_mapping.compiled_model import CompiledModel, Sizes, compile_model
from coe_mapping.device import Device, DeviceError, GoldenMachine
from coe_mapping.graph.build import NEXT_TOKENS, Workload
from coe_mapping.graph.build import head as graph_of_head
from coe_mapping.graph.run import run_graph, weights_of
from coe_mapping.kernels import image
from coe_mapping.kernels.embedding import embedding
from coe_mapping.kernels.head import HeadKernel, HeadShape, head, rows_apart
from coe_mapping.language_model import LanguageModel, Orchestration
from coe_mapping.models.model import Model
from coe_mapping.models.read import read_model
from coe_mapping.models.tokenizer import Tokenizer, read_tokenizer
from coe_mapping.reference import Reference
from golden_model.launch import Error
from golden_model.operators import ContractArithmetic
from hdl.config import unpack
from hdl.errors import ParameterError
from hdl.host.format import COMMANDS, Opcode
from hdl.params import DEMO, TEST, RDUParams
from tests import small_models
from verif.sources import ROOT

BF16 = ml_dtypes.bfloat16
Array = NDArray[Any]

DEMO_MODEL = ROOT / "coe_mapping" / "weights" / "demo"
SIZES = Sizes(prompt=10, batch=3, positions=16)
SCRATCH = DEMO.memory.hbm.capacity - Device.SCRATCH


# --- kernels ---


def run_head(params: RDUParams, kernel: HeadKernel, model: Model, x: Array, row: int = 0) -> list[int]:
    """The tokens after every row of ``x`` from ``row`` on."""
    layout = kernel.layout
    rows = np.zeros((max(row + layout.padded_rows, len(x)), layout.pitch), np.uint16)
    rows[: len(x), : x.shape[1]] = x.view(np.uint16)
    tensors: dict[str, Array] = {"x": rows, **image.head_weights(layout, model)}
    memory, addresses = in_memory(tensors | {"tokens": np.zeros(layout.regions["tokens"].bytes, np.uint8)})
    addresses["x"] += row * layout.pitch * 2
    ideal.run(params, ideal.bind(kernel.program, kernel.bindings, addresses), {0: memory})
    tokens = memory[addresses["tokens"] :][: layout.regions["tokens"].bytes].view(np.uint32)
    made: list[int] = tokens.reshape(layout.padded_rows, -1)[:, 0].tolist()
    return made


def in_memory(tensors: dict[str, Array]) -> tuple[NDArray[np.uint8], dict[str, int]]:
    """The tensors behind each other, and where."""
    memory, addresses, end = np.zeros(1 << 20, np.uint8), {}, 0
    for name, tensor in tensors.items():
        data = np.ascontiguousarray(tensor).view(np.uint8).reshape(-1)
        memory[end : end + len(data)] = data
        addresses[name], end = end, end + -(-len(data) // 256) * 256
    return memory, addresses


def expected_tokens(params: RDUParams, model: Model, x: Array) -> list[int]:
    """Operator by operator."""
    arithmetic = ContractArithmetic(params.lanes)
    graph = graph_of_head(model.config, Workload(len(x), 1, 1))
    tokens: list[int] = run_graph(graph, arithmetic, {**weights_of(model, arithmetic, 1), "hidden": x})[
        NEXT_TOKENS
    ].tolist()
    return tokens


@pytest.mark.parametrize("params", [DEMO, TEST], ids=["demo", "test"])
@pytest.mark.parametrize(("hidden", "vocabulary", "rows"), [(64, 64, 1), (30, 41, 3), (24, 7, 5), (40, 100, 4)])
def test_a_head_gives_the_tokens_of_the_operator_level_golden_model(
    params: RDUParams, hidden: int, vocabulary: int, rows: int, rng: np.random.Generator
) -> None:
    model = small_models.model(rng, vocabulary=vocabulary, hidden=hidden, tied=bool(rows % 2))
    x = rng.standard_normal((rows, hidden)).astype(BF16)
    kernel = head(params, HeadShape(hidden, vocabulary, model.config.epsilon, rows))
    assert run_head(params, kernel, model, x)[:rows] == expected_tokens(params, model, x)


@pytest.mark.parametrize("params", [DEMO, TEST], ids=["demo", "test"])
def test_a_head_that_embeds_leaves_the_embeddings_of_its_tokens(params: RDUParams, rng: np.random.Generator) -> None:
    model = small_models.model(rng)
    x = rng.standard_normal((3, 30)).astype(BF16)
    kernel = head(params, HeadShape(30, 41, model.config.epsilon, 3, embeds=True))
    layout = kernel.layout
    compile_program(params, kernel.program, kernel.bindings)
    table = image.embedding_table(embedding(params, 30, 41, 3).layout, model)
    rows = np.zeros((layout.padded_rows, layout.pitch), np.uint16)
    rows[:3, :30] = x.view(np.uint16)
    tensors: dict[str, Array] = {"x": rows, **image.head_weights(layout, model), "table": table}
    memory, addresses = in_memory(tensors | {"tokens": np.zeros(99, np.uint8), "embedded": np.zeros_like(rows)})
    ideal.run(params, ideal.bind(kernel.program, kernel.bindings, addresses), {0: memory})
    embedded = memory[addresses["embedded"] :][: rows.nbytes].view(np.uint16).reshape(rows.shape)
    tokens = memory[addresses["tokens"] :][: layout.regions["tokens"].bytes].view(np.uint32)
    assert tokens.reshape(layout.padded_rows, -1)[:3, 0].tolist() == expected_tokens(params, model, x)
    assert np.array_equal(embedded[:3], table[expected_tokens(params, model, x)])


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 0.0], ids=["infinity", "NaN", "all equal"])
def test_no_logit_lets_a_padding_column_win(value: float, rng: np.random.Generator) -> None:
    """Every logit is the same, NaN or not: the first of them wins, as it should."""
    model = small_models.model(rng, vocabulary=41, hidden=30)
    kernel = head(DEMO, HeadShape(30, 41, model.config.epsilon, 2))
    x = np.full((2, 30), value).astype(BF16)
    x[1] = rng.standard_normal(30)
    assert run_head(DEMO, kernel, model, x)[:2] == expected_tokens(DEMO, model, x)


def test_logits_that_are_all_negative_do_not_lose_to_padding(rng: np.random.Generator) -> None:
    model = small_models.model(rng, vocabulary=41, hidden=30)
    x = np.abs(rng.standard_normal((1, 30))).astype(BF16)
    negative = (-np.abs(rng.standard_normal((41, 30)))).astype(BF16)
    positive_norm = np.abs(model.tensors["final_norm"])
    model = replace(model, tensors={**model.tensors, "head": negative, "final_norm": positive_norm})
    kernel = head(DEMO, HeadShape(30, 41, model.config.epsilon, 1))
    assert run_head(DEMO, kernel, model, x)[:1] == expected_tokens(DEMO, model, x)


@pytest.mark.parametrize("hidden", [24, 40, 64])
def test_a_head_reaches_every_row_of_a_longer_input(hidden: int, rng: np.random.Generator) -> None:
    """By its address, rounded down to where a row begins on a granule."""
    model, apart = small_models.model(rng, hidden=hidden), rows_apart(DEMO, hidden)
    x = rng.standard_normal((9, hidden)).astype(BF16)
    kernel = head(DEMO, HeadShape(hidden, 41, model.config.epsilon, apart))
    made = [run_head(DEMO, kernel, model, x, row // apart * apart)[row % apart] for row in range(len(x))]
    assert made == expected_tokens(DEMO, model, x)


@pytest.mark.parametrize("params", [DEMO, TEST], ids=["demo", "test"])
def test_an_embedding_leaves_the_rows_of_the_tokens_as_a_layer_reads_them(
    params: RDUParams, rng: np.random.Generator
) -> None:
    model, tokens = small_models.model(rng), [40, 0, 7, 7, 1]
    kernel = embedding(params, 30, 41, len(tokens))
    layout = kernel.layout
    table = image.embedding_table(layout, model)
    padded = [*tokens, *[0] * (layout.padded_rows - len(tokens))]
    memory, addresses = in_memory(
        {"tokens": image.words(params, padded), "table": table, "x": np.zeros(layout.regions["x"].bytes, np.uint8)}
    )
    ideal.run(params, ideal.bind(kernel.program, kernel.bindings, addresses), {0: memory})
    x = memory[addresses["x"] :][: layout.regions["x"].bytes].view(np.uint16).reshape(-1, layout.pitch)
    assert np.array_equal(x[: len(tokens), :30], model.tensors["embedding"][tokens].view(np.uint16))
    assert not x[:, 30:].any()


def test_a_token_that_is_not_in_the_vocabulary_is_refused_by_the_table(rng: np.random.Generator) -> None:
    kernel = embedding(DEMO, 30, 41, 1)
    table = image.embedding_table(kernel.layout, small_models.model(rng))
    memory, addresses = in_memory({"tokens": image.words(DEMO, [41]), "table": table, "x": np.zeros(64, np.uint8)})
    with pytest.raises(RuntimeError, match="OUTSIDE"):
        ideal.run(DEMO, ideal.bind(kernel.program, kernel.bindings, addresses), {0: memory})


# --- the model ---


@pytest.fixture(scope="module")
def model() -> Model:
    return read_model(DEMO_MODEL)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return read_tokenizer(DEMO_MODEL)


@pytest.fixture(scope="module")
def compiled(model: Model) -> CompiledModel:
    return compile_model(DEMO, model.config, SIZES)


class Recorder(GoldenMachine):
    """A golden socket that keeps the opcodes its host gave it."""

    def __init__(self) -> None:
        super().__init__(DEMO)
        self.opcodes: list[Opcode] = []

    def execute(self, commands: Sequence[Sequence[int]]) -> Error | None:
        self.opcodes += [opcode(words) for words in commands]
        return super().execute(commands)


def opcode(words: Sequence[int]) -> Opcode:
    return Opcode(words[0] & 0xFF)


def answers_of(on_device: LanguageModel, prompts: Sequence[Sequence[int]], limit: int, stops: frozenset[int]) -> Any:
    answers: list[list[int]] = [[] for _ in prompts]
    for prompt, token in on_device.generate(prompts, limit, stops):
        answers[prompt].append(token)
    return answers


@pytest.mark.parametrize("orchestration", Orchestration)
def test_the_demo_model_answers_bit_for_bit(
    orchestration: Orchestration, model: Model, tokenizer: Tokenizer, compiled: CompiledModel
) -> None:
    """Prompts shorter than the prefill kernel and fewer than the batch; one answer ends before the other."""
    machine, reference = Recorder(), Reference(model, DEMO.lanes, SIZES.positions)
    on_device = LanguageModel(
        Device(machine, SCRATCH), model, compiled, orchestration=orchestration, observer=reference
    )
    prompts = [tokenizer.encode(text) for text in ("123+456=", "411+973=")]
    answers = answers_of(on_device, prompts, 5, tokenizer.stops)
    assert [tokenizer.decode(answer) for answer in answers] == ["579", "1384"]
    assert reference.mismatches == []
    assert reference.rows == model.config.layers * (2 * 9 + 2 * 3 + 1)
    assert reference.tokens == 2 + 2 * 3 + 1
    if orchestration is Orchestration.HARDWARE:
        assert machine.opcodes == [Opcode.LIST] * (2 + 4)
    else:  # both prompts are embedded first, and their heads embed for decode
        assert machine.opcodes.count(Opcode.EXECUTE) == (2 + 4) * (model.config.layers + 1) + 2
        assert machine.opcodes.count(Opcode.LOAD) == 1 + (2 + 4) * 2


def test_prompts_of_any_length_go_through_an_awkward_model(rng: np.random.Generator) -> None:
    """Prompts longer than the prefill kernel, rows that begin off a granule, a second run on the same caches."""
    awkward = small_models.model(rng, hidden=24, vocabulary=43)
    sizes = Sizes(prompt=5, batch=3, positions=16)
    reference = Reference(awkward, DEMO.lanes, sizes.positions)
    on_device = LanguageModel(
        Device(GoldenMachine(DEMO), SCRATCH),
        awkward,
        compile_model(DEMO, awkward.config, sizes),
        observer=reference,
    )
    prefill, hidden = on_device.compiled.prefill, on_device.memory.needs["prefill.hidden"]
    last = prefill.hidden(awkward.config.layers - 1) + 4 * prefill.row_bytes
    assert last + prefill.head.regions["x"].bytes <= hidden.bytes, "the head would look beyond"
    for lengths in ((12, 1, 7), (5, 10)):
        prompts = [rng.integers(0, 43, length).tolist() for length in lengths]
        made = answers_of(on_device, prompts, 3, frozenset())
        assert [len(answer) for answer in made] == [3] * len(prompts)
    assert reference.mismatches == []
    assert reference.rows == 2 * (20 + 3 * 2 + 15 + 2 * 2)


def test_a_wrong_bit_is_found_and_named(model: Model, tokenizer: Tokenizer, compiled: CompiledModel) -> None:
    reference = Reference(model, DEMO.lanes, SIZES.positions)
    tensors = dict(model.tensors)
    tensors["layers.1.down"] = tensors["layers.1.down"].copy()
    tensors["layers.1.down"][5, 3] *= 64
    wrong = replace(model, tensors=tensors)
    on_device = LanguageModel(Device(GoldenMachine(DEMO), SCRATCH), wrong, compiled, observer=reference)
    on_device.prefill([tokenizer.encode("123+456=")])
    assert reference.mismatches[0].startswith("prefill, layer 1, sequence 0, position 0: element 5 is ")
    assert not reference.bit_exact


# --- launches ---


@pytest.fixture
def idle(model: Model, compiled: CompiledModel) -> LanguageModel:
    return LanguageModel(Device(GoldenMachine(DEMO), SCRATCH), model, compiled)


def test_a_list_loads_the_next_program_while_the_present_one_runs(idle: LanguageModel) -> None:
    """And goes through all layers in one launch, and from the head back to them: they were kept."""
    phase = idle.compiled.decode
    commands, _ = idle.orchestrator.lower(idle.schedule(phase), ahead=phase.programs.layers)
    following = ["ARGUMENTS", "WAIT", "EXECUTE"]
    after_embedding = ["LOAD", *following, "LOAD", *following]
    assert [opcode(each).name for each in commands] == ["LOAD", "ARGUMENTS", "EXECUTE", *after_embedding, "WAIT"]
    executes = [words for words in commands if opcode(words) is Opcode.EXECUTE]
    assert [unpack(COMMANDS[Opcode.EXECUTE], words[:1]).keep for words in executes] == [1, 1, 1]
    again, _ = idle.orchestrator.lower(idle.schedule(phase, embed=0))
    assert [opcode(each).name for each in again] == ["EXECUTE", "WAIT", "EXECUTE", "WAIT"]


@pytest.mark.parametrize("decodes", [True, False])
def test_the_program_after_prefill_is_loaded_behind_its_last_launch(idle: LanguageModel, *, decodes: bool) -> None:
    """All prompts are embedded before the first of them; decode begins with its layers, another prefill with the
    embedding."""
    idle.prefill([[1, 2, 3], [4]], decodes=decodes)
    phase, embed = (idle.compiled.decode, 0) if decodes else (idle.compiled.prefill, 2)
    schedule = idle.schedule(phase, embed=embed)
    assert [launch.program for launch in schedule[:embed]] == [phase.programs.embedding] * embed
    commands, _ = idle.orchestrator.lower(schedule)
    assert [opcode(each).name for each in commands[:3]] == ["ARGUMENTS", "EXECUTE", "LOAD" if decodes else "ARGUMENTS"]


def test_the_next_layer_is_told_only_what_changes(model: Model, compiled: CompiledModel) -> None:
    """Words that stay as the last layer had them, or as the program itself has them, are not sent."""
    device = Device(GoldenMachine(DEMO), SCRATCH)
    idle = LanguageModel(device, model, compiled, orchestration=Orchestration.SOFTWARE)
    phase = compiled.decode
    first, second = (idle.orchestrator.turn_to(launch)[1] for launch in idle.schedule(phase)[1:3])
    fields = idle.compiled.programs[phase.programs.layer].arguments
    places = {name: {(field.unit, field.word) for field in each} for name, each in fields.items()}
    at_zero = {name for name, address in idle.schedule(phase)[1].addresses.items() if address == 0}
    sent = set.union(*(places[name] for name in set(fields) - at_zero))
    assert {(field.unit, field.word) for field in first} == sent
    moved = set(fields) - {"positions", "cosines", "sines"}
    assert {(field.unit, field.word) for field in second} == set.union(*(places[name] for name in moved))


def test_after_an_error_the_program_is_loaded_again(idle: LanguageModel) -> None:
    """The machine holds no program then, and the pass can be repeated."""
    made = [idle.prefill([[1, 2, 3]]), idle.decode()]
    place = idle.memory.addresses["program.prefill head"]
    sound = idle.device.read(place, 64)
    idle.device.write(place + 48, b"bits")
    with pytest.raises(DeviceError, match="damaged"):
        idle.prefill([[3, 2]])
    idle.device.write(place, sound)
    made.append(idle.prefill([[3, 2]]))
    assert opcode(idle.device.read(idle.memory.addresses["commands"], 4).tolist()) is Opcode.LOAD
    made.append(idle.decode())
    again = LanguageModel(idle.device, idle.model, idle.compiled)
    assert made == [again.prefill([[1, 2, 3]]), again.decode(), again.prefill([[3, 2]]), again.decode()]


def test_what_does_not_fit_is_refused_in_a_sentence(idle: LanguageModel, rng: np.random.Generator) -> None:
    refusals: list[tuple[list[list[int]], int, str]] = [
        ([[1] * 17], 1, "prompt 0 of 17 tokens with an answer of 1 does not fit a cache of 16 positions"),
        ([[1] * 9], 9, "prompt 0 of 9 tokens with an answer of 9 does not fit a cache of 16"),
        ([[1]] * 4, 2, "4 prompts, it was compiled for 1 to 3 at a time"),
        ([[]], 2, "prompt 0 has 0 tokens"),
        ([[1, 64]], 2, "prompt 0 has a token that is not in the vocabulary of 64"),
    ]
    for prompts, limit, sentence in refusals:
        with pytest.raises(ParameterError, match=sentence):
            list(idle.generate(prompts, limit))
    with pytest.raises(ParameterError, match="no sequence runs: begin with prefill"):
        idle.decode()
    idle.prefill([[1] * 16])
    with pytest.raises(ParameterError, match="the cache of sequence 0 is full at 16 positions"):
        idle.decode()
    with pytest.raises(ParameterError, match="compiled for a model of another shape"):
        LanguageModel(idle.device, small_models.model(rng), idle.compiled)


def test_a_model_larger_than_the_memory_says_how_much_is_missing(model: Model, compiled: CompiledModel) -> None:
    tier = DEMO.memory.hbm
    small = replace(DEMO.memory, hbm=replace(tier, capacity=1 << 17), ddr=replace(DEMO.memory.ddr, capacity=1 << 17))
    params = replace(DEMO, memory=small)
    with pytest.raises(ParameterError, match=r"regions of .* bytes do not fit demo, .*bytes of DDR are missing"):
        LanguageModel(Device(GoldenMachine(params), 0), model, replace(compiled, params=params))


def test_tensors_that_do_not_fit_hbm_are_used_from_ddr(
    model: Model, tokenizer: Tokenizer, compiled: CompiledModel
) -> None:
    """The same program, on a machine with half the HBM that the model wants."""
    params = replace(DEMO, memory=replace(DEMO.memory, hbm=replace(DEMO.memory.hbm, capacity=1 << 18)))
    compiled = compile_model(params, model.config, SIZES)
    on_device = LanguageModel(Device(GoldenMachine(params), 0), model, compiled)
    assert {"table", "prefill layer"} & {name.removeprefix("program.") for name in on_device.memory.spilled}
    (answer,) = answers_of(on_device, [tokenizer.encode("123+456=")], 5, tokenizer.stops)
    assert tokenizer.decode(answer) == "579"
