"""UUIDv7 texts: ids that sort by birth and that two machines never make twice (RFC 9562, section 5.7)."""

from __future__ import annotations

import os
import time
import uuid


def new_id(now_ns: int | None = None, entropy: bytes | None = None) -> str:
    """Give a fresh UUIDv7 in its canonical 36 characters.

    48 bits of milliseconds, 12 bits of the millisecond's fraction (RFC 9562, section 6.2, method 3), 62 random bits.

    Args:
        now_ns: nanoseconds since the epoch; None: this process's clock. Only order depends on it, never correctness.
        entropy: 8 random bytes; None: the system's.
    """
    milliseconds, rest_ns = divmod(time.time_ns() if now_ns is None else now_ns, 1_000_000)
    fraction = rest_ns * 4096 // 1_000_000
    noise = int.from_bytes(os.urandom(8) if entropy is None else entropy, "big") & (1 << 62) - 1
    value = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | noise
    return str(uuid.UUID(int=value))
