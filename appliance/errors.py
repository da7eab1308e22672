"""The error tree, split by who must act.

::

    WaypostError
    ├── InstallError              the installer: a file of the appliance is missing or wrong
    │   ├── ConfigError           waypost.toml does not say what it must
    │   ├── ManifestError         a model package is damaged or incomplete
    │   └── BackendUnavailableError  an inference engine cannot run here
    ├── RefusedError              the sender: what arrived cannot be read, and why
    │   ├── NotAnImageError       no pixels, or no DICOM, PNG or JPEG at all
    │   ├── UnsupportedError      a kind, encoding or view that no model here reads
    │   ├── TooLargeError         more pixels or bytes than this box accepts
    │   └── ConflictError         another content under a SOP Instance UID already kept
    ├── ReadingError              us: a file that should have been read was not
    │   ├── DecodeError           the pixel data is damaged
    │   ├── DecoderCrashError     the decoder child died or ran over its limits
    │   └── InferenceError        the engine failed
    ├── StorageError              the operator: the store cannot keep more
    │   └── DiskFullError         no space is left
    └── SyncError                 the network: the far side did not take it
        ├── PeerUnreachableError  no answer; try again later
        └── PeerRefusedError      an answer, and it was no

Every error carries a `code` (stable, for machines) and a sentence for its reader that says what
happened and what to do. The sentences never contain a patient's data.
"""

from __future__ import annotations

__all__ = [
    "BackendUnavailableError",
    "ConfigError",
    "ConflictError",
    "DecodeError",
    "DecoderCrashError",
    "DiskFullError",
    "InferenceError",
    "InstallError",
    "ManifestError",
    "NotAnImageError",
    "PeerRefusedError",
    "PeerUnreachableError",
    "ReadingError",
    "RefusedError",
    "StorageError",
    "SyncError",
    "TooLargeError",
    "UnsupportedError",
    "WaypostError",
]


class WaypostError(Exception):
    """What every error of the appliance is.

    Parameters
    ----------
    text
        A sentence for the person who must act: what happened, what to do.
    code
        Stable machine word; the class's own `code` when not given.
    """

    code = "failed"

    def __init__(self, text: str, *, code: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.code = code if code is not None else type(self).code


class InstallError(WaypostError):
    """The installer must act."""

    code = "installation"


class ConfigError(InstallError):
    """The configuration file does not say what it must."""

    code = "configuration"


class ManifestError(InstallError):
    """A model package is damaged, incomplete or not what its manifest says."""

    code = "model_package"


class BackendUnavailableError(InstallError):
    """An inference engine cannot run on this machine; the text says why."""

    code = "backend_unavailable"


class RefusedError(WaypostError):
    """The sender must act: the image was kept, but is not read, and the text says why."""

    code = "refused"


class NotAnImageError(RefusedError):
    """There are no pixels in it, or it is no DICOM, PNG or JPEG file at all."""

    code = "not_an_image"


class UnsupportedError(RefusedError):
    """A kind, encoding, view or age that nothing on this box reads."""

    code = "unsupported"


class TooLargeError(RefusedError):
    """More pixels or bytes than this box accepts."""

    code = "too_large"


class ConflictError(RefusedError):
    """Another content under a SOP Instance UID that is already kept."""

    code = "uid_conflict"


class ReadingError(WaypostError):
    """We must act: an image that should have been read was not."""

    code = "failed"


class DecodeError(ReadingError):
    """The pixel data is damaged or does not match its header."""

    code = "damaged_pixels"


class DecoderCrashError(ReadingError):
    """The decoder child died or ran over its time or memory."""

    code = "decoder_limit"


class InferenceError(ReadingError):
    """The inference engine failed."""

    code = "inference"


class StorageError(WaypostError):
    """The operator must act: the store cannot keep more."""

    code = "storage"


class DiskFullError(StorageError):
    """No space is left on the device."""

    code = "disk_full"


class SyncError(WaypostError):
    """The far side did not take it; it stays in the outbox."""

    code = "sync"


class PeerUnreachableError(SyncError):
    """The peer did not answer; it is tried again later."""

    code = "peer_unreachable"


class PeerRefusedError(SyncError):
    """The peer answered, and did not take the item."""

    code = "peer_refused"
