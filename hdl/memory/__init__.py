"""Memory tiers: the port every requester has, channel controllers, the DMA between tiers."""
