"""The composition root: command line, settings, embedded stack. The only package that sees every other."""

__all__: list[str] = []
