"""What is fuzzed: a module each, with `check(data)`, which asserts, and how to begin with it.

A module has
    check(data)     one input: raises AssertionError where an invariant does not hold
    SEEDS           inputs to begin with
    WORDS           what inputs are often made of
    MAX_LENGTH      of an input, in bytes
and knows nothing of the fuzzer: `tests/fuzz/test_targets.py` runs the same checks without one.
"""

from __future__ import annotations

# Whose branches guide the fuzzer: all of these packages that an input reaches.
TARGETS = {
    "cookie": ("datalyr_core", "urllib"),
    "encoding": ("datalyr_core",),
    "retry_after": ("datalyr_core", "email"),
}
