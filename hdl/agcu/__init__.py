"""Address generation and coalescing units: streams between the network and memory."""
