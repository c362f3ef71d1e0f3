"""A figure on show, of which a change draws only what is new."""

from typing import Any

import anywidget
import plotly.graph_objects as go


class Fitting(anywidget.AnyWidget):
    """Nothing to see: it makes a widget at home in its cell; a child of the outermost box.

    A figure is drawn before it has a place on the page, 700 pixels wide, and looks again when the window changes. And
    JupyterLab takes arrow keys for itself, even from a list that has the focus: those are kept from it, not from the
    list.
    """

    _esm = """
        export default {
            render({ el }) {
                const observer = new ResizeObserver(() => window.dispatchEvent(new Event("resize")));
                observer.observe(el);
                const keep = (event) => {
                    const isOurs = event.target.matches?.("select") && el.parentElement?.contains(event.target);
                    if (isOurs && /^(Arrow|Page|Home|End)/.test(event.key)) {
                        event.stopPropagation();
                    }
                };
                window.addEventListener("keydown", keep, true);
                return () => {
                    observer.disconnect();
                    window.removeEventListener("keydown", keep, true);
                };
            },
        };
    """


def shown(figure: go.Figure) -> Any:
    """A widget with this figure; a :class:`Fitting` beside it makes it as wide as its cell."""
    widget = go.FigureWidget(figure)
    widget._config = {"responsive": True, "displaylogo": False}
    return widget


def show(widget: Any, figure: go.Figure) -> None:
    """Put a figure in the place of the one that a widget shows: drawn once, where its lines are of the same kinds."""
    layout = figure.layout.to_plotly_json()
    same_lines = [trace.type for trace in widget.data] == [trace.type for trace in figure.data]
    if same_lines and widget.layout.to_plotly_json().keys() <= layout.keys():  # else something old would stay
        with widget.batch_update():
            for trace, new in zip(widget.data, figure.data, strict=True):
                trace.update(new.to_plotly_json(), overwrite=True)
            widget.layout.update(layout, overwrite=True)
        return
    widget.data = ()
    widget.add_traces(list(figure.data))
    widget.layout = figure.layout
