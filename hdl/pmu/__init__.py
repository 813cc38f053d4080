"""Pattern memory unit: the scratchpad of the fabric. ``docs/pmu.md`` is its manual; ``hdl.pmu.pmu.PMU`` its top."""
