"""The way in and out: host registers, launch sequencer, configuration bus."""
