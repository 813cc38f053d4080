"""The top-level network: joins requesters and memory channels."""
