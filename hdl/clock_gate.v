// The gate of hdl/clock_gate.py, for simulators.

// The clock of a unit: a latch, open while the clock is low, and an AND. A library for silicon has a cell for it.
module clock_gate(input clk, input enable, output gated);
  reg held = 1'b0;
  always @* if (!clk) held = enable;
  assign gated = clk & held;
endmodule
