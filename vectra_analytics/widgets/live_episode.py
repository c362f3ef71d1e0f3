"""The running game, drawn while another process records it."""

import html
import threading
import time
import weakref
from typing import Any

import ipywidgets
import polars as pl
import traitlets

from vectra_analytics import plots
from vectra_analytics.query import EventStoreQuery
from vectra_analytics.widgets.callbacks import Message
from vectra_analytics.widgets.figures import Fitting, show, shown
from vectra_analytics.widgets.rows import row

_STATES = ("gameStateUpdate",)  # events of the feed that say which game runs; a game_tick does, too


class LiveEpisode(ipywidgets.VBox):
    """Follow the game that runs: it is drawn anew when events become durable; :meth:`rows` gives its ticks.

    Parameters
    ----------
    query
        The store's that another process records into.
    poll
        Seconds between two looks at the store.

    Attributes
    ----------
    game_id
        The game on show.
    is_following
        Whether it looks for new events; :meth:`start` and :meth:`stop`, or the button, change it.

    Notes
    -----
    What is drawn is what is durable: a recorder's ``--flush-interval`` is how far behind the game that may be.
    """

    game_id = traitlets.Unicode(help="The game on show.")
    is_following = traitlets.Bool(False, help="Whether it looks for new events.")

    def __init__(self, query: EventStoreQuery, poll: float = 0.5) -> None:
        self._query, self._poll = query, poll
        self._tail = query.tail(since=max(query.version - 1, 0), timeout=0)  # the last commit names the game
        self._features = query.features(games=[])
        self._last_event: float | None = None
        self._wake = threading.Event()
        self._drawing = threading.Lock()
        self._state = ipywidgets.HTML()
        self._follow = ipywidgets.ToggleButton(description="Follow", icon="play", tooltip="Look for new events")
        self._window = ipywidgets.Dropdown(
            description="Volatility", options=[(f"{n} returns", n) for n in (5, 10, 20)], value=10
        )
        self._log = ipywidgets.Checkbox(description="logarithmic price", value=True, indent=False)
        self.message = Message()
        self.figure = shown(plots.episode(self._features))
        super().__init__(
            [row(self._follow, self._window, self._log), self._state, self.figure, Fitting(), self.message]
        )
        traitlets.link((self, "is_following"), (self._follow, "value"))
        self.observe(self._follow_or_rest, "is_following")
        self._window.observe(lambda _: self._draw(), "value")
        self._log.observe(lambda _: self._draw(), "value")
        self.refresh()

    def __repr__(self) -> str:
        # What a page that shows no widgets says instead of one.
        return f"LiveEpisode: game {self.game_id}, {self._features.height} ticks"

    def rows(self) -> pl.DataFrame:
        """The ticks of the game on show, as features."""
        return self._query.features(games=[self.game_id])

    def start(self) -> None:
        """Follow the game that runs."""
        self.is_following = True

    def stop(self) -> None:
        """Look no more; what is drawn stays."""
        self.is_following = False

    def close(self) -> None:
        """Stop, and leave the page."""
        self.stop()
        super().close()

    def refresh(self) -> bool:
        """Look once; whether there was something new."""
        with self._drawing, self.message.watching():
            found = list(self._tail)
            if found:
                self._last_event = time.monotonic()
                self.game_id = _running(pl.concat(found)) or self.game_id
                self._features = self._query.features(games=[self.game_id])
                self._draw()
            self._tell()
            return bool(found)
        return False

    def _draw(self) -> None:
        with self.message.watching():
            trades = self._query.features("actions_with_ticks", games=[self.game_id])
            volatility = f"return_volatility_{self._window.value}"
            show(self.figure, plots.episode(self._features, trades, volatility=volatility, log=self._log.value))

    def _tell(self) -> None:
        name = html.escape(self.game_id)
        if not self.game_id:
            text = "no game yet: record into this store with <code>vectra record</code>"
        elif self._features.is_empty():
            text = f"{name}: not started"
        else:
            last = self._features.row(-1, named=True)
            ended = ", rugged" if last["rugged"] else ""
            text = f"{name}: tick {last['tick']}, price {last['price']:.4f}{ended}"
        if self._last_event is not None:
            text += f" &middot; new events {time.monotonic() - self._last_event:.0f} s ago"
        self._state.value = f'<span role="status">{text}</span>'

    def _follow_or_rest(self, change: dict[str, Any]) -> None:
        self._wake.set()  # whoever follows ends
        self._follow.icon = "pause" if change["new"] else "play"
        if change["new"]:
            self._wake = threading.Event()
            threading.Thread(
                target=_keep_looking, args=(weakref.ref(self), self._wake, self._poll), name="vectra-live", daemon=True
            ).start()


def _keep_looking(live: "weakref.ref[LiveEpisode]", ended: threading.Event, poll: float) -> None:
    """Until the widget follows no more, or nobody has it any more."""
    while not ended.is_set():
        widget = live()
        if widget is None:
            return
        widget.refresh()
        del widget
        ended.wait(poll)


def _running(events: pl.DataFrame) -> str | None:
    """The game that the newest of these events says is running."""
    says = (pl.col("doc_type") == "game_tick") | pl.col("event_name").is_in(_STATES)
    named = events.filter(says & pl.col("game_id").is_not_null())
    return str(named["game_id"][-1]) if named.height else None
