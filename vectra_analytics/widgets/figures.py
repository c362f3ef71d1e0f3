"""A figure on show, of which a change draws only what is new."""

from typing import Any

import plotly.graph_objects as go


def shown(figure: go.Figure) -> Any:
    """A widget with this figure, as wide as its cell."""
    return go.FigureWidget(figure.update_layout(autosize=True))


def show(widget: Any, figure: go.Figure) -> None:
    """Put a figure in the place of the one that a widget shows: in place, where its lines are of the same kinds."""
    with widget.batch_update():
        if [trace.type for trace in widget.data] == [trace.type for trace in figure.data]:
            for trace, new in zip(widget.data, figure.data, strict=True):
                trace.update(new.to_plotly_json(), overwrite=True)
            widget.layout = figure.layout
            return
    widget.data = ()
    widget.add_traces(list(figure.data))
    widget.layout = figure.layout
