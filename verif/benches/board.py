"""A board under cocotb, and a job on it in plain blocking Python: ``job`` names a function, by its module."""

import importlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cocotb
from cocotb.task import bridge

from hdl.params import preset as named
from verif.cocotb_model import CocotbModel
from verif.machine import RTLMachine
from verif.models.board import Board
from verif.sim.runner import bench_parameters


def design(
    preset: str, job: str, options: object = None, ddr_beats: Sequence[int] | None = None, fast: bool = False
) -> Board:
    """``job``: ``module:function``, called with the machine and ``options``. ``ddr_beats``: bandwidth of its DDR, where
    it is not the preset's. ``fast``: arithmetic in C."""
    params = named(preset)
    if ddr_beats is not None:
        gain, price = ddr_beats
        ddr = replace(params.memory.ddr, beats=(gain, price))
        params = replace(params, memory=replace(params.memory, ddr=ddr))
    return Board(params, fast=fast)


@cocotb.test()
async def runs_its_job(dut: Any) -> None:
    parameters: dict[str, Any] = bench_parameters()
    board = design(**parameters)
    model = CocotbModel(dut, board)
    await model.start()
    module, _, function = parameters["job"].partition(":")
    job = getattr(importlib.import_module(module), function)

    def run() -> None:
        job(RTLMachine(board.params, model), parameters.get("options"))

    await bridge(run)()
