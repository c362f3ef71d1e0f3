"""What can go wrong, one class per kind: each message says what was wanted, what there is, and what to do next."""


class VectraError(Exception):
    """Any error that this package raises on purpose."""

    def __str__(self) -> str:
        # One line, also where it names a file that has two in its name.
        return super().__str__().replace("\r", "\\r").replace("\n", "\\n")


class InvalidEvent(VectraError, ValueError):
    """A value cannot be stored as recorded; the message names the field and the value."""


class WriterClosed(VectraError, RuntimeError):
    """The writer was closed before this event came."""


class CommitFailed(VectraError, OSError):
    """A batch could not be made durable; nothing of it is lost, and it will be tried again."""


class NotReadOnly(VectraError):
    """A statement would change something, or reach outside the data directory."""


class CorruptStore(VectraError):
    """The files on disk are not what the catalog says they are."""


class VersionVacuumed(VectraError):
    """The store version asked for is no longer kept."""


class LawBroken(VectraError):
    """A view of a user's own sees the future, or another thing that it must not; the message has a counterexample."""


class UnknownView(VectraError, LookupError):
    """No view has this name; the message lists those that there are."""


class PartialStore(UserWarning):
    """A query that is not strict leaves out files which are damaged or missing; its ``problems()`` lists them."""
