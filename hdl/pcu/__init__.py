"""The pattern compute unit: header, body (systolic or SIMD), reduction, tail. ``docs/pcu.md`` describes it."""
