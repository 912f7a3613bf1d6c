"""What arrives: Jebbit's signature and the envelopes its submissions come in. Pure, no I/O."""
