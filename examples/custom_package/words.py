"""The package's second file: files of a package import each other with `from . import`."""
# ruff: noqa: INP001


def in_words(share: float, dark_below: float) -> str:
    """Name a brightness."""
    return "dark" if share < dark_below else "bright"
