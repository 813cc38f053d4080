"""A composition on a device: router and experts answer prompts, experts come from DDR while others run.

::

    on_device = CompositionDevice(Device(machine, scratch), read_composition(), sizes, strategy, experts_bytes)
    for answer in on_device.answer(["123+456=", "roman 1994="], limit=16):
        ...

Memory::

    DDR   images of all experts, one behind the other
    HBM   the driver's scratch | of every shape of model: programs, caches, states | region: router | current experts

Experts of one shape share kernels, caches and states, so a switch moves weights alone, and they are read only. Each
launch is given the addresses of its own expert, and each AGCU may touch the segments of its launch only.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from coe_mapping.commands import command
from coe_mapping.compiled_model import CompiledModel, Sizes, compile_model, needs
from coe_mapping.device import Device
from coe_mapping.experts.composition import Composition, CompositionError
from coe_mapping.experts.image import ImageLayout, expert_image, image_checksum, image_layout
from coe_mapping.experts.residency import Expert, Region
from coe_mapping.experts.runtime import Copy, Runtime, Transfer
from coe_mapping.experts.scheduler import Request, Strategy
from coe_mapping.language_model import LanguageModel, Observer
from coe_mapping.memory_plan import MemoryPlan, Need, granule_bytes, plan
from coe_mapping.models.model import Model, ModelConfig
from hdl.host.format import Opcode
from hdl.memory.channel import Tier
from hdl.memory.dma import FULL_SHARE

ROUTER = "router"
"""Its name beside the experts'; it is pinned."""


@dataclass(frozen=True)
class Answer:
    """What became of a prompt.

    Attributes:
        expert: that answered; None: the prompt was refused, and ``refused`` says why.
        hit: the expert was in HBM already.
        tokens: of the text.
    """

    prompt: int
    expert: str | None
    text: str = ""
    hit: bool = False
    refused: str = ""
    tokens: int = 0


@dataclass(frozen=True)
class Span:
    """What the machine did for a while, in its cycles: ``router``, ``prefill`` or ``decode`` for a ``prompt``, or
    ``wait`` for the copy of an expert with nothing to run."""

    kind: str
    expert: str
    start: int
    end: int
    prompt: int | None = None


class Watcher:
    """Is told what a composition does, as it happens; this one does not care."""

    def routed(self, prompt: int, expert: str) -> None:
        """The router has picked."""

    def copying(self, copy: Copy) -> None:
        """The tier DMA has been given a copy."""

    def copied(self, copy: Copy) -> None:
        """The copy has arrived, and nothing runs."""

    def begins(self, prompt: int, expert: str, hit: bool) -> None:
        """A prompt is next."""

    def wrote(self, prompt: int, text: str) -> None:
        """The answer so far."""


class CompositionDevice:
    """A composition on a device.

    Args:
        device: nobody else launches programs on it; its memory is the composition's, but for its ``scratch``.
        sizes: of the kernels; prompts run one by one, so a batch of 1 is enough.
        experts_bytes: of HBM, for the router and the experts that are there at a time.
        observers: by name of an expert, or ``ROUTER``: sees every layer of every pass of it.
        watcher: may be exchanged between prompts.

    Attributes:
        runtime: its decisions; ``runtime.refused`` has a sentence for each expert that cannot be used.
        spans: what the machine has done, in order.

    Raises:
        ParameterError: the kernels of a model do not fit the machine, or memory is too small for them or the router.
    """

    def __init__(
        self,
        device: Device,
        composition: Composition,
        sizes: Sizes,
        strategy: Strategy,
        experts_bytes: int,
        *,
        observers: Mapping[str, Observer] | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        self.device, self.composition, self.sizes, self.observers = device, composition, sizes, observers or {}
        self.watcher = watcher or Watcher()
        self.models: dict[str, Model] = {ROUTER: composition.router}
        self.models |= {name: member.model for name, member in composition.experts.items()}
        self.compiled: dict[ModelConfig, CompiledModel] = {}
        for model in self.models.values():
            if model.config not in self.compiled:
                self.compiled[model.config] = compile_model(device.params, model.config, sizes)
        self.layouts: dict[ModelConfig, ImageLayout] = {c: image_layout(each) for c, each in self.compiled.items()}
        self.experts_bytes, self.shared = experts_bytes, self._plan(experts_bytes)
        self.running = {config: self._language_model(config) for config in self.compiled}
        self._last: LanguageModel | None = None
        self._since = 0  # where the next span begins
        self._fetched: set[str] = set()  # experts whose copies no prompt has had yet
        self.begin(strategy)

    # --- use ---

    def begin(self, strategy: Strategy) -> None:
        """From the beginning: all experts stored in DDR, and none but the router in HBM."""
        self.runtime, self.spans = self._runtime(strategy), list[Span]()
        self.checksums = {name: self._store(name) for name in self.runtime.experts}
        self._bring_router()

    def answer(self, prompts: Sequence[str], limit: int) -> Iterator[Answer]:
        """Answers of at most ``limit`` tokens, in the order in which they are found, refused prompts first.

        If the strategy lets copies overlap, the first begins as soon as the router has read the first prompt.
        """
        self._start()
        for number, prompt in enumerate(prompts):
            if refused := self._unfit(number, prompt, limit):
                yield Answer(number, None, refused=refused)
                continue
            letter = self.generate(ROUTER, prompt, 1)
            self._did("router", ROUTER, number)
            member = self.composition.named(letter)
            expert = letter if member is None else member.name
            self.watcher.routed(number, expert)
            yield from self._submit(number, expert)
            if self.runtime.strategy.overlap:
                yield from self._arrivals(wait=False)
                self._begin_copy()
        yield from self._serve(prompts, limit)

    def serve(self, prompts: Sequence[str], experts: Sequence[str], limit: int) -> Iterator[Answer]:
        """The same for prompts whose experts are known."""
        self._start()
        for number, (prompt, expert) in enumerate(zip(prompts, experts, strict=True)):
            if refused := self._unfit(number, prompt, limit):
                yield Answer(number, None, refused=refused)
            else:
                yield from self._submit(number, expert)
        yield from self._serve(prompts, limit)

    def generate(self, name: str, prompt: str, limit: int) -> str:
        """The text that a resident expert, or the router, makes of a prompt."""
        return self.composition.tokenizer.decode(list(self._tokens(name, prompt, limit)))

    def _tokens(self, name: str, prompt: str, limit: int) -> Iterator[int]:
        """The same, token by token."""
        model, tokenizer = self.models[name], self.composition.tokenizer
        on_device = self.running[model.config]
        if on_device is not self._last:
            on_device.orchestrator.forget()
            self._last = on_device
        on_device.memory = self._memory(model.config, self.runtime.residency.block(name).base)
        on_device.observer = self.observers.get(name)
        for _, token in on_device.generate([tokenizer.encode(prompt)], limit, tokenizer.stops):
            yield token

    def _start(self) -> None:
        """Of a batch of prompts."""
        self._since = self.device.machine.cycles
        self._fetched.clear()

    def _did(self, kind: str, expert: str, prompt: int | None = None) -> None:
        """What the machine has done since the last span."""
        start, self._since = self._since, self.device.machine.cycles
        self.spans.append(Span(kind, expert, start, self._since, prompt))

    # --- prompts ---

    def _unfit(self, number: int, prompt: str, limit: int) -> str:
        """What is wrong with a prompt, if anything is."""
        tokens, room = self.composition.tokenizer.encode(prompt), self.sizes.positions
        if set(tokens) <= self.composition.tokenizer.stops:
            return f"prompt {number} has nothing that the tokenizer knows: give it other text"
        if len(tokens) + limit - 1 > room:
            return (
                f"prompt {number} of {len(tokens)} tokens with an answer of {limit} does not fit a cache of {room} "
                "positions: ask for less, or compile for more"
            )
        return ""

    def _submit(self, number: int, expert: str) -> Iterator[Answer]:
        """An answer only if the prompt is refused."""
        try:
            self.runtime.submit(number, expert)
        except CompositionError as error:
            yield Answer(number, None, refused=str(error))

    def _serve(self, prompts: Sequence[str], limit: int) -> Iterator[Answer]:
        """Does what the runtime says, until nobody waits."""
        while self.runtime.scheduler.waiting:
            request = self.runtime.start()
            self._begin_copy()
            assert request is not None or self.runtime.copying is not None, "prompts wait, and nothing happens any more"
            if request is not None:
                hit = request.expert not in self._fetched
                self._fetched.discard(request.expert)
                self.watcher.begins(request.number, request.expert, hit)
                yield replace(self._run(request, prompts[request.number], limit), hit=hit)
            yield from self._arrivals(wait=request is None)

    def _run(self, request: Request, prompt: str, limit: int) -> Answer:
        """The expert answers; the first token comes of prefill, the others of decode."""
        tokens: list[int] = []
        text = ""
        for token in self._tokens(request.expert, prompt, limit):
            if not tokens:
                self._did("prefill", request.expert, request.number)
            tokens.append(token)
            text = self.composition.tokenizer.decode(tokens)
            self.watcher.wrote(request.number, text)
        self._did("decode" if tokens else "prefill", request.expert, request.number)
        self.runtime.finish()
        return Answer(request.number, request.expert, text, tokens=len(tokens))

    # --- experts ---

    def _begin_copy(self) -> None:
        """Hands the next copy, if one is wanted, to the tier DMA, which works while the machine runs."""
        if (copy := self.runtime.copy()) is not None:
            self.device.run([copy_command(transfer) for transfer in (*copy.back, copy.fetch)])
            self.watcher.copying(copy)

    def _arrivals(self, *, wait: bool) -> Iterator[Answer]:
        """Takes note of the copy under way if it has arrived, or waits for it; answers of prompts that it dooms."""
        copy = self.runtime.copying
        if copy is None or (self.device.machine.copying() and not wait):
            return
        name = copy.expert.name
        self.device.run([command(Opcode.WAIT_DMA)])
        self._did("wait", name)
        self.watcher.copied(copy)
        self._fetched.add(name)
        for refused in self.runtime.copied(sound=self._sound(name, copy.fetch.destination)):
            yield Answer(refused.number, None, refused=self.runtime.refused[name])

    def _sound(self, name: str, address: int) -> bool:
        return image_checksum(self.device.read(address, self.runtime.experts[name].bytes)) == self.checksums[name]

    def _store(self, name: str) -> int:
        """Puts an expert into DDR; its checksum."""
        model = self.models[name]
        image = expert_image(self.compiled[model.config], model)
        self.device.write(self.runtime.homes.addresses[name], image)
        return image_checksum(image)

    def _bring_router(self) -> None:
        """The router is pinned, so it is in HBM before the first prompt."""
        block = self.runtime.residency.block(ROUTER)
        transfer = Transfer(self.runtime.homes.addresses[ROUTER], block.base, block.bytes)
        self.device.run([copy_command(transfer), command(Opcode.WAIT_DMA)])
        if not self._sound(ROUTER, block.base):
            raise CompositionError("the router was damaged on its way to HBM: start again")

    # --- memory ---

    def _plan(self, experts_bytes: int) -> MemoryPlan:
        """What does not move: all regions of every shape but for weights, by names with the number of the shape."""
        regions = [
            replace(need, name=_name(number, need.name))
            for number, (config, compiled) in enumerate(self.compiled.items())
            for need in needs(compiled)
            if need.name not in self.layouts[config].offsets
        ]
        scratch = Need("scratch", Device.SCRATCH, address=self.device.scratch)
        region = Need("experts", experts_bytes, tier=Tier.HBM, traffic=float("inf"))
        return plan(self.device.params, [*regions, region, scratch])

    def _runtime(self, strategy: Strategy) -> Runtime:
        params = self.device.params
        spilled = -(-self.shared.used[Tier.DDR] // granule_bytes(params)) * granule_bytes(params)
        return Runtime(
            [Expert(name, self.layouts[model.config].bytes) for name, model in self.models.items()],
            strategy,
            ddr=Region(Tier.DDR.base + spilled, params.memory.ddr.capacity - spilled),
            hbm=Region(self.shared.addresses["experts"], self.experts_bytes),
            granule=granule_bytes(params),
            pinned=[ROUTER],
        )

    def _language_model(self, config: ModelConfig) -> LanguageModel:
        """Of a shape; which of its experts it is, is said before each prompt."""
        model = next(model for model in self.models.values() if model.config == config)
        memory = self._memory(config, self.shared.addresses["experts"])
        return LanguageModel(self.device, model, self.compiled[config], memory=memory)

    def _memory(self, config: ModelConfig, base: int) -> MemoryPlan:
        """Where a model of a shape finds everything if its weights begin at ``base``."""
        number, offsets = list(self.compiled).index(config), self.layouts[config].offsets
        regions = {need.name: need for need in needs(self.compiled[config])}
        fixed = {name: self.shared.addresses[_name(number, name)] for name in regions if name not in offsets}
        moved = {name: base + offset for name, offset in offsets.items()}
        return MemoryPlan(regions, fixed | moved, self.shared.used)


def copy_command(transfer: Transfer) -> list[int]:
    """For the tier DMA: one row of so many bytes, at full speed."""
    descriptor = {
        "source": transfer.source,
        "destination": transfer.destination,
        "row_bytes": transfer.bytes,
        "rows": 1,
        "share": FULL_SHARE,
    }
    return command(Opcode.DMA, descriptor=descriptor)


def _name(shape: int, region: str) -> str:
    return f"shape {shape}.{region}"
