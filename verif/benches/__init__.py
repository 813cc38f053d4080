"""cocotb benches: each module has cocotb tests and a function ``design(**parameters)``; ``run_bench`` runs it."""
