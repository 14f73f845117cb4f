"""The fault programme: break the system on purpose, then hold its books against what it was given.

`python3 dev.py faults` runs all of it and prints a table; `tests/faults/test_faults.py` runs a selection in CI.
"""
