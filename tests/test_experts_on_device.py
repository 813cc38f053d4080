"""A composition on the golden socket: switches move weights, answers stay bit for bit, and damage stays where it is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from coe_mapping.compiled_model import Sizes, compile_model
from coe_mapping.device import Device, DeviceError, GoldenMachine
from coe_mapping.experts import Composition, Member, Order, Strategy, read_composition
from coe_mapping.experts.composition import MANIFEST
from coe_mapping.experts.image import image_layout
from coe_mapping.experts.on_device import ROUTER, Answer, CompositionDevice
from coe_mapping.language_model import LanguageModel
from coe_mapping.models import Model, read_tokenizer
from coe_mapping.reference import Reference
from golden_model.launch import Error
from hdl.host.format import Opcode
from hdl.params import DEMO
from tests import small_models

WEIGHTS = MANIFEST.parent
TOKENIZER = read_tokenizer(WEIGHTS / "demo")
SCRATCH = DEMO.memory.hbm.capacity - Device.SCRATCH
SIZES = Sizes(prompt=20, batch=1, positions=32)
SMALL = Sizes(prompt=4, batch=1, positions=8)
ROOM = 300_000
AHEAD = Strategy("ahead", ahead=4, overlap=True)


class Recorder(GoldenMachine):
    """A golden socket that keeps the opcodes its host gave it."""

    def __init__(self) -> None:
        super().__init__(DEMO)
        self.opcodes: list[Opcode] = []

    def execute(self, commands: Sequence[Sequence[int]]) -> Error | None:
        self.opcodes += [Opcode(words[0] & 0xFF) for words in commands]
        return super().execute(commands)


class Timed(Recorder):
    """One in which a list takes 10 cycles, and a copy ``copy`` beside whatever else is done; both from when they are
    given."""

    def __init__(self, copy: int) -> None:
        super().__init__()
        self.copy, self.time, self.copied_at = copy, 0, 0

    @property
    def cycles(self) -> int:
        return self.time

    def copying(self) -> bool:
        return self.time < self.copied_at

    def execute(self, commands: Sequence[Sequence[int]]) -> Error | None:
        for words in commands:
            match Opcode(words[0] & 0xFF):
                case Opcode.LIST:
                    self.time += 10
                case Opcode.DMA:
                    self.copied_at = max(self.time, self.copied_at) + self.copy
                case Opcode.WAIT_DMA:
                    self.time = max(self.time, self.copied_at)
        return super().execute(commands)


def on_device(
    experts: Mapping[str, Model],
    router: Model,
    room: int,
    strategy: Strategy = AHEAD,
    machine: Recorder | None = None,
) -> CompositionDevice:
    """A composition of small models."""
    members = {name: Member(name, name[0], name, model) for name, model in experts.items()}
    composition = Composition(router, TOKENIZER, members, {})
    return CompositionDevice(Device(machine or Recorder(), SCRATCH), composition, SMALL, strategy, room)


def opcodes(composition: CompositionDevice) -> list[Opcode]:
    assert isinstance(composition.device.machine, Recorder)
    return composition.device.machine.opcodes


def test_prompts_go_through_the_router_to_experts_of_two_shapes_and_every_bit_is_right() -> None:
    """There is room for the router and one of the two experts: the second prompt evicts the expert of the first."""
    whole = read_composition()
    composition = replace(whole, experts={name: whole.experts[name] for name in ("addition", "date")})
    models = {ROUTER: whole.router} | {name: member.model for name, member in composition.experts.items()}
    references = {name: Reference(model, DEMO.lanes, SIZES.positions) for name, model in models.items()}
    machine = CompositionDevice(Device(Recorder(), SCRATCH), composition, SIZES, AHEAD, ROOM, observers=references)
    home, size = machine.runtime.homes.addresses["date"], machine.runtime.experts["date"].bytes
    before = machine.device.read(home, size)
    answers = list(machine.answer(["date 2024-05-07=", "500+501="], 11))
    assert [(a.prompt, a.expert, a.text, a.hit) for a in answers] == [
        (0, "date", "7 may 2024", False),
        (1, "addition", "1001", False),
    ]
    for reference in references.values():
        assert reference.bit_exact, reference.mismatches
    assert "date" not in machine.runtime.residency
    assert np.array_equal(before, machine.device.read(home, size)), "weights were written back"


SHAPE = {"vocabulary": 64, "hidden": 16, "intermediate": 16, "layers": 1, "heads": 2, "kv_heads": 1, "head_size": 8}


@pytest.fixture(scope="module")
def small_bytes() -> int:
    """Of an expert of the small shape."""
    return image_layout(compile_model(DEMO, small_models.config(**SHAPE), SMALL)).bytes


@pytest.fixture
def small(rng: np.random.Generator, small_bytes: int) -> CompositionDevice:
    """Three random experts of one small shape, and room for two of them beside the router."""
    models = {name: small_models.model(rng, **SHAPE) for name in ("one", "two", "three")}
    return on_device(models, small_models.model(rng, **SHAPE), 3 * small_bytes)


def expected(composition: CompositionDevice, name: str, prompt: str, limit: int) -> str:
    """The answer of an expert that has a socket for itself."""
    model = composition.models[name]
    alone = LanguageModel(Device(GoldenMachine(DEMO), SCRATCH), model, composition.compiled[model.config])
    tokens = alone.generate([TOKENIZER.encode(prompt)], limit, TOKENIZER.stops)
    return TOKENIZER.decode([token for _, token in tokens])


def test_the_next_expert_is_copied_while_the_present_one_runs(small: CompositionDevice) -> None:
    """The copy is handed over before the lists of the present prompt, and awaited after them."""
    begun = len(opcodes(small))
    answers = list(small.serve(["1=", "2=", "3="], ["one", "two", "one"], 2))
    assert [(a.prompt, a.hit) for a in answers] == [(0, False), (1, False), (2, True)]
    seen = opcodes(small)[begun:]
    assert seen[:3] == [Opcode.DMA, Opcode.WAIT_DMA, Opcode.DMA]
    assert seen[3] is Opcode.LIST
    assert seen.count(Opcode.DMA) == seen.count(Opcode.WAIT_DMA) == 2
    assert [a.text for a in answers] == [
        expected(small, name, prompt, 2) for name, prompt in (("one", "1="), ("two", "2="), ("one", "3="))
    ]


def test_whoever_is_there_runs_on_while_a_copy_takes_longer_than_a_prompt(
    rng: np.random.Generator, small_bytes: int
) -> None:
    """Three prompts of 10 cycles for the first expert; the copy of the second, begun with them, takes 35."""
    models = {name: small_models.model(rng, **SHAPE) for name in ("one", "two")}
    strategy = Strategy("resident", Order.RESIDENT, ahead=4, overlap=True)
    composition = on_device(models, small_models.model(rng, **SHAPE), 3 * small_bytes, strategy, Timed(copy=35))
    answers = list(composition.serve([f"{n}=" for n in range(4)], ["one", "one", "two", "one"], 1))
    assert [(a.prompt, a.hit) for a in answers] == [(0, False), (1, True), (3, True), (2, False)]
    spans = [(s.kind, s.expert, s.prompt, s.end - s.start) for s in composition.spans]
    assert [span for span in spans if span[3]] == [
        ("wait", "one", None, 35),
        *(("prefill", "one", prompt, 10) for prompt in (0, 1, 3)),
        ("wait", "two", None, 5),
        ("prefill", "two", 2, 10),
    ]


def test_a_corrupt_expert_is_refused_when_it_arrives_and_the_others_go_on(small: CompositionDevice) -> None:
    home = small.runtime.homes.addresses["two"] + 100
    small.device.write(home, small.device.read(home, 1) ^ 4)
    answers = list(small.serve(["1=", "2=", "3=", "4="], ["one", "two", "three", "two"], 1))
    assert {a.prompt: a.expert for a in answers} == {0: "one", 1: None, 2: "three", 3: None}
    refused = next(a for a in answers if a.prompt == 3).refused
    assert refused.startswith("expert two is refused: what was copied from DDR address 0x10")
    assert list(small.serve(["1="], ["two"], 1)) == [Answer(0, None, refused=refused)]


def test_a_prompt_that_does_not_fit_is_refused_and_the_others_go_on(small: CompositionDevice) -> None:
    answers = list(small.serve(["1234567=", "", "2="], ["one", "one", "two"], 2))
    assert [a.refused for a in answers] == [
        "prompt 0 of 9 tokens with an answer of 2 does not fit a cache of 8 positions: ask for less, or compile for "
        "more",
        "prompt 1 has nothing that the tokenizer knows: give it other text",
        "",
    ]
    assert [a.expert for a in small.answer([""], 1)] == [None]


def test_the_router_picks_by_the_letter_it_answers(small: CompositionDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a random router answers, it is the expert of that letter, or a refusal."""
    letter = small.generate(ROUTER, "1=", 1)
    members = {
        name: replace(m, letter=letter if name == "three" else "?") for name, m in small.composition.experts.items()
    }
    monkeypatch.setattr(small, "composition", replace(small.composition, experts=members))
    begun = len(opcodes(small))
    assert [a.expert for a in small.answer(["1=", "1="], 1)] == ["three", "three"]
    seen = opcodes(small)[begun:]
    assert seen[:4] == [Opcode.LIST, Opcode.DMA, Opcode.LIST, Opcode.WAIT_DMA], (
        "copied while the router reads the second"
    )
    monkeypatch.setattr(small, "composition", replace(small.composition, experts={}))
    (answer,) = small.answer(["1="], 1)
    assert answer.refused == f"prompt 0 is for expert {letter}, which the composition does not have"


def test_an_expert_cannot_read_the_memory_of_another(small: CompositionDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token whose row of the embedding would lie in the neighbour's weights; nobody checks it before the machine."""
    list(small.serve(["1=", "2="], ["one", "two"], 1))
    (shape,) = small.compiled
    blocks = [small.runtime.residency.block(name) for name in ("one", "two")]
    neighbour = small.device.read(blocks[1].base, blocks[1].bytes)
    layout = small.compiled[shape].decode.embedding
    row = (blocks[1].base - blocks[0].base - small.layouts[shape].offsets["table"]) // (layout.pitch * 2) + 1
    monkeypatch.setattr(LanguageModel, "_check_prompts", lambda *_: None)
    small.generate("one", "1=", 1)
    with pytest.raises(DeviceError, match="was refused an access at offset"):
        list(small.running[shape].generate([[row]], 1))
    assert np.array_equal(neighbour, small.device.read(blocks[1].base, blocks[1].bytes))
    (answer,) = small.serve(["2="], ["two"], 1)
    assert answer.text == expected(small, "two", "2=", 1)


def test_an_expert_cannot_write_to_the_memory_of_another(small: CompositionDevice) -> None:
    """A position, below 0, at which its keys would be appended in the neighbour's weights: whatever uses it is refused
    first, a table that is read by position or the append."""
    list(small.serve(["1=", "2="], ["one", "two"], 1))
    ((shape, on_device),) = small.running.items()
    decode = small.compiled[shape].decode
    block = small.runtime.residency.block("two")
    neighbour = small.device.read(block.base, block.bytes)
    small.generate("one", "1=", 1)
    row = (block.base - on_device.memory.addresses["keys"]) // (decode.layer.cache_pitch * 2) + 1
    on_device.set_positions(decode, np.full(decode.layer.padded_rows, row))
    with pytest.raises(DeviceError, match="was refused an access at offset"):
        on_device.orchestrator.hardware(on_device.layers(decode, looped=True))
    assert np.array_equal(neighbour, small.device.read(block.base, block.bytes))
    (answer,) = small.serve(["2="], ["two"], 1)
    assert answer.text == expected(small, "two", "2=", 1)


def test_a_shape_that_takes_over_the_machine_loads_its_program_whatever_it_had_resident(
    small: CompositionDevice,
) -> None:
    """After it was forgotten nothing counts as held, neither in the shadow nor as what ran before."""
    (on_device,) = small.running.values()
    decode = on_device.compiled.decode
    schedule, layers = on_device.schedule(decode, embed=0), decode.programs.layers
    fresh = on_device.orchestrator.lower(schedule, ahead=layers)
    assert [Opcode(words[0] & 0xFF) for words in fresh[0]].count(Opcode.LOAD) == 2
    held = on_device.orchestrator.lower(schedule, ahead=layers)
    assert Opcode.LOAD not in [Opcode(words[0] & 0xFF) for words in held[0]]
    on_device.orchestrator.forget()
    assert on_device.orchestrator.lower(schedule, ahead=layers) == fresh
