"""Logging set-up: one line a fact on standard error; never a patient identifier in it."""

from __future__ import annotations

import logging
import sys
import time


def set_up_logging(role: str, *, level: int = logging.INFO) -> None:
    """Send this process's log to standard error, each line with UTC time, level and `role`."""
    formatter = logging.Formatter(
        f"%(asctime)s %(levelname)-7s {role:<8} %(message)s", datefmt="%Y-%m-%dT%H:%M:%SZ"
    )
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Libraries that write attribute values (names, identifiers) at the info level.
    for noisy in ("pydicom", "pynetdicom", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
