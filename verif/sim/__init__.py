"""The simulation service: builds a design once and runs it, as a Python object or under a cocotb bench.

- :func:`compile_python` gives a :class:`Model`, the design as a Python object (PyVerilator over Verilator);
- :func:`run_bench` runs a cocotb bench module in a simulator process and turns its failures into ours.

Both keep what they built under ``build/sim``, keyed by the Verilog, the flags and the tool versions.
"""

from verif.sim.model import Model, Ports, compile_python
from verif.sim.runner import BenchResult, SimulationError, run_bench

__all__ = ["BenchResult", "Model", "Ports", "SimulationError", "compile_python", "run_bench"]
