"""The reconfigurable dataflow network: switches of three fabrics."""
