"""The long verification campaigns, block by block: what ``make verify`` runs."""

from collections.abc import Callable, Sequence

from verif.campaign import Part
from verif.campaigns import agcu, arith, experts, launch, link, mapping, memory, network, pcu, pmu, socket


def _socket() -> Sequence[Part]:
    return [*network.parts(), *agcu.parts(), *memory.parts(), *launch.parts(), *socket.parts()]


def _experts() -> Sequence[Part]:
    return [*link.parts(), *experts.parts()]


BLOCKS: dict[str, Callable[[], Sequence[Part]]] = {
    "arith": arith.parts,
    "pmu": pmu.parts,
    "pcu": pcu.parts,
    "socket": _socket,
    "mapping": mapping.parts,
    "experts": _experts,
}
