"""What can go wrong with a gallery. Each error is also the builtin that it is a case of."""


class GalleryError(Exception):
    """Base of every error that this package raises on purpose."""

    def __str__(self) -> str:  # KeyError would show the message in quotes
        return str(self.args[0]) if self.args else ""


class UnknownIdentity(GalleryError, KeyError):
    """The gallery holds no such identity."""


class UnknownImage(GalleryError, KeyError):
    """The identity has no such image."""


class InvalidEnrolment(GalleryError, ValueError):
    """An identity, vector or metadata that cannot be stored, or a vector that cannot be searched with."""


class InvalidCursor(GalleryError, ValueError):
    """A page cursor that no listing gave out."""


class WrongBundle(GalleryError, ValueError):
    """Vectors of another bundle than the one whose vectors the gallery holds: `held`, an id and a dimension."""

    def __init__(self, message: str, held: tuple[str, int] | None = None) -> None:
        super().__init__(message)
        self.held = held


class ReembeddingUnderWay(GalleryError, RuntimeError):
    """The gallery is being moved to another bundle already."""


class IncompleteReembedding(GalleryError, RuntimeError):
    """Images have no vector of the bundle that the gallery is to be moved to."""


class StorageFull(GalleryError, OSError):
    """The disk has no room; nothing of the refused call was stored."""


class GalleryUnavailable(GalleryError, RuntimeError):
    """The gallery cannot be opened, read or written: in use, damaged, newer, closed, or disk errors."""


class NotOffered(GalleryError, NotImplementedError):
    """This engine does not do it; the message says what does."""
