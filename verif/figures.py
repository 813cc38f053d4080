"""Every figure this project claims: declared here once, measured by a command, kept in ``build/figures.json``.

Nothing is typed in by hand: a measuring command calls :func:`record`; what no command has measured on this checkout is
missing, and what was measured on other sources is stale.
"""

import fcntl
import json
import operator
from dataclasses import dataclass
from datetime import UTC, datetime

from verif.sources import ROOT, fingerprint

FILE = ROOT / "build" / "figures.json"
BOUNDS = {"<=": operator.le, ">=": operator.ge, "==": operator.eq, "<": operator.lt, ">": operator.gt}


@dataclass(frozen=True)
class Figure:
    """A claim: ``value <bound> target`` in ``unit``, and the command that measures it.

    ``target`` is a number, or the name of another figure of the same command whose value is the target.
    """

    name: str
    unit: str
    bound: str
    target: float | str
    command: str

    def met(self, value: float, others: dict[str, float]) -> bool:
        target = others.get(self.target) if isinstance(self.target, str) else self.target
        return target is not None and bool(BOUNDS[self.bound](value, target))

    @property
    def claim(self) -> str:
        """The bound and target as people read them."""
        return f"{self.bound} {self.target if isinstance(self.target, str) else format(self.target, ',.10g')}"


DECLARED = (
    Figure("special_functions_max_ulp", "BF16 ulp", "<=", 1.0, "make verify ONLY=arith"),
    Figure("special_functions_rtl_mismatches", "of 65,536 inputs a function", "==", 0, "make verify ONLY=arith"),
    Figure("fma_triples_checked", "operand triples", ">=", 20_000_000, "make verify ONLY=arith"),
    Figure("fma_mismatches", "of the triples checked", "==", 0, "make verify ONLY=arith"),
    Figure("fast_arith_operands_checked", "operands, C beside RTL", ">=", 100_000_000, "make verify ONLY=arith"),
    Figure("arith_defects_planted", "defects", ">=", 10, "make verify ONLY=arith"),
    Figure("arith_defects_caught", "defects", "==", "arith_defects_planted", "make verify ONLY=arith"),
    Figure("fma_ecp5_lut4", "LUT4", "<", 833, "make fpga-units"),
    Figure("fma_ecp5_mhz", "MHz, median of the seeds", ">=", 100, "make fpga-units"),
    Figure("pcu_gemm_steady_utilisation", "of peak, fill and drain apart", ">=", 0.99, "make verify ONLY=pcu"),
    Figure("pcu_gemm_k512_utilisation", "of peak, end to end", ">=", 0.97, "make verify ONLY=pcu"),
    *(
        figure
        for unit in ("pcu", "pmu")
        for figure in (
            Figure(f"{unit}_random_configs", "programs", ">=", 2_000, f"make verify ONLY={unit}"),
            Figure(f"{unit}_mismatches", "of the programs run", "==", 0, f"make verify ONLY={unit}"),
            Figure(f"{unit}_coverage", "of the bins", ">", 0.98, f"make verify ONLY={unit}"),
            Figure(f"{unit}_defects_planted", "defects", ">=", 15, f"make verify ONLY={unit}"),
            Figure(f"{unit}_defects_caught", "defects", "==", f"{unit}_defects_planted", f"make verify ONLY={unit}"),
            Figure(f"{unit}_nano_ecp5_mhz", "MHz, median of the seeds", ">=", 60, "make fpga-units"),
        )
    ),
    Figure("pcu_sim_ns_per_mac", "ns, one core", "<=", 60, "make bench ONLY=pcu"),
    Figure("pcu_fast_sim_ns_per_mac", "ns, one core, ARITH=fast", "<=", 15, "make bench ONLY=pcu"),
    Figure("dma_ddr_utilisation", "of DDR bandwidth", ">=", 0.95, "make verify ONLY=socket"),
    Figure("copy_hbm_utilisation", "of HBM bandwidth, reads and writes", ">=", 0.95, "make verify ONLY=socket"),
    Figure("random_programs", "programs", ">=", 300, "make verify ONLY=socket"),
    Figure("random_program_mismatches", "of the programs run", "==", 0, "make verify ONLY=socket"),
    Figure("network_flits_checked", "flits", ">=", 1_000_000, "make verify ONLY=socket"),
    Figure("network_flits_wrong", "of the flits checked", "==", 0, "make verify ONLY=socket"),
    Figure("bitstream_corruptions_tried", "corruptions", ">=", 5_000, "make verify ONLY=socket"),
    Figure("bitstream_corruptions_harmful", "of the corruptions tried", "==", 0, "make verify ONLY=socket"),
    Figure("link_error_mismatches", "findings over all runs with harmed packets", "==", 0, "make verify ONLY=experts"),
    Figure("expert_exact_match_min", "of held-out prompts, the worst expert", ">=", 0.97, "make bench ONLY=experts"),
    Figure("router_exact_match", "of held-out prompts", ">=", 0.99, "make bench ONLY=experts"),
    Figure("coe_exact_match", "of held-out prompts, router and expert", ">=", 0.96, "make bench ONLY=experts"),
    Figure("dense_exact_match", "of held-out prompts, one model", "<", "coe_exact_match", "make bench ONLY=experts"),
    Figure("lookahead_speedup", "times as fast as in order with LRU", ">", 1.0, "make bench ONLY=experts"),
    Figure("switch_speedup_at_31", "times as fast as over 1/31 of DDR", ">=", 31.0, "make bench ONLY=experts"),
    Figure("switch_speedup_at_15", "times as fast as over 2/31 of DDR", ">=", 15.5, "make bench ONLY=experts"),
    Figure("rtl_prompts_checked", "prompts, every bit compared", ">=", 40, "make verify ONLY=experts"),
    Figure("backdoor_256mib_s", "s", "<", 1.0, "make bench ONLY=socket"),
    Figure("socket_build_s", "s, a demo socket, nothing built before", "<", 120, "make bench ONLY=socket"),
    Figure("socket_sim_cycles_per_s_idle", "cycles/s of a demo socket, cocotb", ">=", 24_000, "make bench ONLY=socket"),
    Figure("socket_sim_cycles_per_s_busy", "cycles/s, every PCU busy", ">=", 12_000, "make bench ONLY=socket"),
    Figure("fusion_speedup_decode", "times as fast as operator by operator", ">=", 2.0, "make sim"),
    Figure("fusion_speedup_prefill", "times as fast as operator by operator", ">=", 1.5, "make sim"),
    Figure("ho_speedup_decode", "times as fast as the host, command by command", ">=", 1.4, "make sim"),
    Figure("looping_speedup", "times as fast as a launch a layer, decode", ">=", 1.3, "make sim"),
    Figure("bandwidth_model_error_max", "of the RTL's cycles, any kernel", "<=", 0.10, "make sim"),
    Figure("switch_hidden_share", "of the time of copies, behind what runs", ">=", 0.90, "make sim"),
    Figure("switch_ddr_utilisation", "of DDR bandwidth, a copy of an expert", ">=", 0.95, "make sim"),
    Figure("sim_cold_s", "s, nothing built before", "<=", 480, "make sim"),
    Figure("sim_warm_s", "s, simulator built before", "<=", 240, "make sim"),
    Figure("map_demo_layer_s", "s, SmolLM2's layer", "<", 60, "make bench ONLY=mapping"),
    Figure("network_loss", "of the cycles, by the bandwidth model", "<", 0.03, "make bench ONLY=mapping"),
    Figure("units_used_share", "of PCUs or PMUs, prefill of 64", ">=", 0.80, "make bench ONLY=mapping"),
    *(
        Figure(name, unit, ">=", target, "make sim MODEL=smollm2")
        for name, unit, target in (
            ("fusion_speedup_decode_smollm2", "times as fast as operator by operator, a layer", 1.0),
            ("decode_hbm_utilisation_smollm2", "of HBM bandwidth, a fused layer", 0.85),
            ("prefill_peak_utilisation", "of the peak of all PCUs, 64 tokens", 0.50),
            ("prefill_gemm_pcu_utilisation", "of the peak of the PCUs that multiply, 64 tokens", 0.85),
        )
    ),
    Figure("random_decoders", "decoder layers", ">=", 25, "make verify ONLY=mapping"),
    Figure("random_decoder_mismatches", "of the layers run", "==", 0, "make verify ONLY=mapping"),
    Figure("golden_gemm_512_s", "s, median", "<", 2.0, "make bench ONLY=arith"),
)


def record(name: str, value: float) -> None:
    """Writes a measured figure to ``build/figures.json``; safe beside other processes doing the same.

    Raises:
        KeyError: the figure is not declared.
    """
    figure = next((f for f in DECLARED if f.name == name), None)
    if figure is None:
        raise KeyError(f"figure {name!r} is not declared in verif/figures.py: add it there with its target and command")
    FILE.parent.mkdir(parents=True, exist_ok=True)
    with FILE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        entries = [entry for entry in measured() if entry["name"] != name]
        entries.append(
            {
                "name": name,
                "value": value,
                "unit": figure.unit,
                "target": figure.claim,
                "met": figure.met(value, {str(e["name"]): float(str(e["value"])) for e in entries}),
                "command": figure.command,
                "when": datetime.now(UTC).isoformat(timespec="seconds"),
                "sources": fingerprint(),
            }
        )
        scratch = FILE.with_suffix(".new")
        scratch.write_text(json.dumps(sorted(entries, key=lambda e: str(e["name"])), indent=1) + "\n")
        scratch.replace(FILE)


def measured() -> list[dict[str, object]]:
    """What ``build/figures.json`` holds; empty where nothing was measured yet."""
    return list(json.loads(FILE.read_text())) if FILE.exists() else []
