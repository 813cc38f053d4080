"""From operators to units: programs of PCUs, PMUs and AGCUs, and the streams between them."""
