"""What parent and child say to each other over two pipes.

A request is task (1 byte), length (8 bytes) and the file; a reply is the lengths of a JSON head
(4 bytes) and of raw pixels (8 bytes), then both.
"""

from __future__ import annotations

import struct

REQUEST = struct.Struct(">cQ")
REPLY = struct.Struct(">IQ")
DECODE, FINGERPRINT = b"d", b"f"
PIPE_BYTES = 1024 * 1024
