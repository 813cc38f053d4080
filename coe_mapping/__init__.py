"""The mapping layer: models to fused kernels to bitstreams, experts, memory plan, schedule, device driver."""
