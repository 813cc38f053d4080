// Storage of a memory model: one read and one write port of whole beats. Under Verilator the bytes live outside, in
// memory that the host program sees (openrdu_memory.cpp); elsewhere in an array. Regions of one name are one region.
module openrdu_memory #(
  parameter NAME = "memory",
  parameter integer BYTES = 1024,
  parameter integer WIDTH = 64
) (
  input clk,
  input read,
  input [47:0] read_address,
  output reg [WIDTH-1:0] read_data,
  input write,
  input [47:0] write_address,
  input [WIDTH-1:0] write_data,
  input [WIDTH/8-1:0] write_strobe
);
`ifdef VERILATOR
  import "DPI-C" function chandle openrdu_memory_open(input string name, input longint bytes);
  import "DPI-C" function void openrdu_memory_close(input chandle region);
  import "DPI-C" function void openrdu_memory_read(
      input chandle region, input longint address, input int bytes, output bit [511:0] data);
  import "DPI-C" function void openrdu_memory_write(
      input chandle region, input longint address, input int bytes, input bit [511:0] data,
      input longint strobe);
  chandle region;
  bit [511:0] beat;  // one width, for a function has but one signature
  initial region = openrdu_memory_open(NAME, BYTES);
  final openrdu_memory_close(region);
  always @(posedge clk) begin
    if (write) openrdu_memory_write(region, {16'd0, write_address}, WIDTH / 8, 512'(write_data), 64'(write_strobe));
    if (read) begin
      openrdu_memory_read(region, {16'd0, read_address}, WIDTH / 8, beat);
      read_data <= beat[WIDTH-1:0];
    end
  end
`else
  localparam integer BEAT = WIDTH / 8;
  reg [WIDTH-1:0] beats[0:BYTES/BEAT-1];
  integer k;
  initial for (k = 0; k < BYTES / BEAT; k = k + 1) beats[k] = 0;
  always @(posedge clk) begin
    for (k = 0; k < BEAT; k = k + 1)
      if (write && write_strobe[k]) beats[write_address/BEAT][8*k+:8] <= write_data[8*k+:8];
    if (read) read_data <= beats[read_address/BEAT];
  end
`endif
endmodule
