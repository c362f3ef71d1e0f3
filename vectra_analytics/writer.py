"""ParquetWriter: events in, durable files out; a thread of its own commits, so that writing only enqueues."""

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from vectra_analytics.catalog import Catalog
from vectra_analytics.commit import commit
from vectra_analytics.envelope import EventEnvelope, events_to_table
from vectra_analytics.errors import CommitFailed, InvalidEvent, WriterClosed
from vectra_analytics.paths import EventStorePaths

_QUEUE_BUFFERS = 10  # how many buffers may wait before write() blocks
_LEAST_QUEUE = 10_000
_SHORTEST_NAP, _LONGEST_NAP = 0.01, 3600.0  # seconds of sleep with nothing to commit
_RETRY_SECONDS = 1.0  # at most this long between attempts after a failed commit


class ParquetWriter:
    """Write events to a store; each is stored exactly once.

    Parameters
    ----------
    paths
        The store; its folders and catalog are made where missing.
    buffer_size
        Events that make a commit.
    flush_interval
        Seconds after which fewer events are committed too, whether or not more come.

    Raises
    ------
    VectraError
        Where the store's folders or catalog cannot be made or opened.

    Notes
    -----
    A commit that fails keeps its events and is tried again, by itself and at each :meth:`flush`; until one
    succeeds, :meth:`write` (which then has not taken its event), :meth:`flush` and :meth:`close` raise
    :class:`~vectra_analytics.errors.CommitFailed`.
    """

    def __init__(
        self, paths: EventStorePaths | str | os.PathLike[str], buffer_size: int = 100, flush_interval: float = 5.0
    ) -> None:
        if buffer_size < 1:
            raise ValueError(f"buffer_size is {buffer_size}; it must be at least 1")
        if not flush_interval > 0:
            raise ValueError(f"flush_interval is {flush_interval} s; it must be above 0")
        self._buffer_size = buffer_size
        self._flush_interval = flush_interval
        self._capacity = max(_LEAST_QUEUE, _QUEUE_BUFFERS * buffer_size)
        self._catalog = Catalog(EventStorePaths.of(paths), create=True)

        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)  # the committing thread waits here
        self._progress = threading.Condition(self._lock)  # write, flush and close wait here
        self._pending: list[EventEnvelope] = []  # accepted, not yet in a commit
        self._committing: list[EventEnvelope] = []  # in the commit under way, or kept after a failed one
        self._due = 0.0  # when the oldest pending event, or the next attempt, is due (monotonic)
        self._accepted = 0
        self._durable = 0
        self._attempts_begun = 0
        self._attempts_ended = 0
        self._flush_wanted = False
        self._closing = False
        self._closed = False
        self._process = os.getpid()
        self._failure: BaseException | None = None
        self._files: list[Path] = []  # since the last flush
        self._n_rejected = 0
        self._thread = threading.Thread(target=self._run, name="vectra-writer", daemon=True)
        self._thread.start()
        self._at_exit = _close_at_exit(weakref.ref(self))

    @property
    def buffer_size(self) -> int:
        """Events that make a commit."""
        return self._buffer_size

    @property
    def flush_interval(self) -> float:
        """Seconds after which fewer events are committed too."""
        return self._flush_interval

    @property
    def buffer_count(self) -> int:
        """Events accepted and not yet durable."""
        return self._accepted - self._durable

    @property
    def n_rejected(self) -> int:
        """Events refused by a commit: their identity was stored before, with other content."""
        return self._n_rejected

    @property
    def failure(self) -> CommitFailed | None:
        """Why events cannot be stored now; None where the last commit succeeded."""
        failure = self._failure
        return None if failure is None else self._failed(failure)

    def write(self, event: EventEnvelope) -> None:
        """Take one event; returns at once, or when the full queue has room again."""
        if type(event) is not EventEnvelope and not isinstance(event, EventEnvelope):
            raise InvalidEvent(f"write() takes an EventEnvelope; this is a {type(event).__name__}")
        if os.getpid() != self._process:
            raise self._in_another_process()
        with self._lock:
            while self._closing or self._failure is not None or self._accepted - self._durable >= self._capacity:
                self._wait_or_refuse()
            pending = self._pending
            pending.append(event)
            self._accepted += 1
            n_pending = len(pending)
            if n_pending == self._buffer_size:
                self._work.notify()
            elif n_pending == 1 and not self._committing:
                # No need to wake the other thread for this: it never sleeps longer than an interval.
                self._due = time.monotonic() + self._flush_interval

    def _in_another_process(self) -> WriterClosed:
        # Asked before the lock is taken: the fork may have copied it held, and it copies no thread that commits.
        return WriterClosed(
            f"this writer was opened in another process ({self._process}); open a writer of its own in each process"
        )

    def _wait_or_refuse(self) -> None:
        if self._closing:
            raise WriterClosed("this writer is closed; open a new ParquetWriter on the same store to go on")
        if self._failure is not None:
            raise self._failed(self._failure)
        self._progress.wait()

    def flush(self) -> list[Path] | None:
        """Wait until all that was written before is durable.

        Returns
        -------
        list of Path or None
            The files committed since the last call, those of background commits included; None if none.
        """
        if os.getpid() != self._process:
            raise self._in_another_process()
        with self._lock:
            if self._closed:
                return None
            self._settle(self._accepted)
            files, self._files = self._files, []
            return files or None

    def close(self) -> None:
        """Make all durable and stop. After an error the writer stays open with its events, to be closed again."""
        if os.getpid() != self._process:
            return  # a forked child has neither the thread nor a claim to its parent's events
        with self._lock:
            if self._closed:
                return
            self._closing = True
            try:
                self._settle(self._accepted)
            except BaseException:
                self._closing = False
                raise
            self._closed = True
            self._work.notify()
            self._progress.notify_all()
        self._thread.join()
        self._catalog.close()
        atexit.unregister(self._at_exit)

    def __enter__(self) -> "ParquetWriter":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _settle(self, ticket: int) -> None:
        """Under the lock: until the first ``ticket`` events are durable, or an attempt from now on has failed."""
        # An attempt under way may have begun before the fault was mended: only the next one counts.
        deciding = self._attempts_begun + 1
        while self._durable < ticket:
            if self._failure is not None and self._attempts_ended >= deciding:
                raise self._failed(self._failure)
            self._flush_wanted = True
            self._work.notify()
            self._progress.wait()

    def _failed(self, failure: BaseException) -> CommitFailed:
        waiting = self._accepted - self._durable
        text = getattr(failure, "strerror", None) or str(failure) or type(failure).__name__
        error = CommitFailed(
            f"cannot store events in {self._catalog.paths.data_dir}: {text}; "
            f"{waiting} events wait in memory and are tried again, nothing is lost while this process lives"
        )
        if isinstance(failure, OSError):
            error.errno = failure.errno
        error.__cause__ = failure
        return error

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._is_due():
                    if self._closed:
                        return
                    self._work.wait(self._seconds_to_wait())
                self._committing += self._pending
                self._pending = []
                self._flush_wanted = False
                self._attempts_begun += 1
                events = self._committing
            failure: BaseException | None = None
            outcome = None
            try:
                outcome = commit(self._catalog, events_to_table(events))
            except BaseException as error:  # whatever it is, the events must not be lost
                failure = error
            with self._lock:
                self._attempts_ended += 1
                self._failure = failure
                if outcome is not None:
                    self._files += outcome.files
                    self._n_rejected += len(outcome.conflicts)
                    self._durable += len(events)
                    self._committing = []
                    self._due = time.monotonic() + self._flush_interval
                else:
                    self._due = time.monotonic() + min(self._flush_interval, _RETRY_SECONDS)
                self._progress.notify_all()

    def _is_due(self) -> bool:
        if not self._pending and not self._committing:
            return False
        if self._flush_wanted:
            return True
        if self._failure is None and len(self._pending) >= self._buffer_size:
            return True
        return time.monotonic() >= self._due

    def _seconds_to_wait(self) -> float:
        if self._pending or self._committing:
            seconds = self._due - time.monotonic()
        else:
            seconds = max(self._flush_interval, _SHORTEST_NAP)
        return min(max(seconds, 0.0), _LONGEST_NAP)


def _close_at_exit(writer: weakref.ref[ParquetWriter]) -> Callable[[], None]:
    """Registered so that a script which forgets ``close()`` loses nothing."""

    def close() -> None:
        alive = writer()
        if alive is not None:
            alive.close()

    return atexit.register(close)
