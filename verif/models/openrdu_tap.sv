// Records what leaves the units by a switch: every payload of STREAMS streams, in order (openrdu_tap.cpp). Bound to
// switches from outside (verif/taps.py), so that a simulation that is not asked for streams has nothing of this.
module openrdu_tap #(
  parameter integer STREAMS = 1,
  parameter integer WIDTH = 32
) (
  input clk,
  input [STREAMS-1:0] moves,
  input [STREAMS*WIDTH-1:0] payloads
);
  import "DPI-C" function chandle openrdu_tap_open(input string path);
  import "DPI-C" function void openrdu_tap_close(input chandle tap);
  import "DPI-C" function void openrdu_tap_put(input chandle tap, input int stream, input bit [543:0] payload);
  chandle tap;
  initial tap = openrdu_tap_open($sformatf("%m"));
  final openrdu_tap_close(tap);
  always @(posedge clk)
    for (int k = 0; k < STREAMS; k++) if (moves[k]) openrdu_tap_put(tap, k, 544'(payloads[k*WIDTH+:WIDTH]));
endmodule
