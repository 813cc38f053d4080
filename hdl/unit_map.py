"""The unit map of a machine: how many configuration and status words every unit has. Data only."""

from functools import cache

from hdl.agcu.config import Status as AGCUStatus
from hdl.agcu.config import agcu_layout
from hdl.config import word_count
from hdl.floorplan import Kind
from hdl.host.format import UnitMap, UnitSize
from hdl.link.config import links_layout
from hdl.link.config import status_names as status_names_of_links
from hdl.params import RDUParams
from hdl.pcu.config import STATUS as PCU_STATUS
from hdl.pcu.config import pcu_layout
from hdl.pmu.config import Status as PMUStatus
from hdl.pmu.config import pmu_layout
from hdl.rdn.config import Fabric, status_names, switch_layout, switch_sizes, token_layout, token_sizes


@cache
def unit_map(params: RDUParams) -> UnitMap:
    """Every unit of a socket by number. A switch without an AGCU has fewer words than those of its kind that have one:
    the words it lacks are ignored and read as zero."""
    sizes = {
        Kind.VECTOR_SWITCH: _switch(params, Fabric.VECTOR),
        Kind.SCALAR_SWITCH: _switch(params, Fabric.SCALAR),
        Kind.TOKEN_SWITCH: UnitSize(max(word_count(token_layout(token_sizes(params, c))) for c in _columns(params)), 0),
        Kind.PCU: UnitSize(word_count(pcu_layout(params.pcu)), len(PCU_STATUS)),
        Kind.PMU: UnitSize(word_count(pmu_layout(params.pmu)), len(PMUStatus)),
        Kind.AGCU: UnitSize(word_count(agcu_layout(params)), len(AGCUStatus)),
    }
    if params.sockets > 1:
        sizes[Kind.LINKS] = UnitSize(word_count(links_layout(params)), len(status_names_of_links(params)))
    return UnitMap(params, tuple(sizes.items()))


def _switch(params: RDUParams, fabric: Fabric) -> UnitSize:
    sizes = [switch_sizes(params, fabric, column) for column in _columns(params)]
    return UnitSize(
        max(word_count(switch_layout(each)) for each in sizes), max(len(status_names(each)) for each in sizes)
    )


def _columns(params: RDUParams) -> range:
    return range(params.columns)
