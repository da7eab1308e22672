"""UIDs that follow from what they name, so that doing a thing twice makes one object."""

from __future__ import annotations

import hashlib
import uuid


def derived_uid(*parts: str) -> str:
    """Return the UID that belongs to `parts`: always the same for the same parts.

    The form is ``2.25.`` and a UUID as a decimal number (PS3.5 B.2); the UUID is the first half
    of the SHA-256 of the parts, with the version and variant bits of RFC 9562's version 8.
    """
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()[:16]
    number = int.from_bytes(digest, "big")
    number = number & ~(0xF << 76) | 8 << 76
    number = number & ~(0x3 << 62) | 0x2 << 62
    return f"2.25.{uuid.UUID(int=number).int}"
