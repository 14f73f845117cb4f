"""What the backends are made of. `backends/` itself is a registry of runtimes, so their parts live one folder below."""
