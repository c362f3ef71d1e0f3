"""Controls side by side."""

import ipywidgets

_AS_WIDE_AS_ITS_TEXT = (ipywidgets.Button, ipywidgets.Checkbox, ipywidgets.HTML)


def row(*controls: ipywidgets.DOMWidget) -> ipywidgets.HBox:
    """Controls in a line: fields share its width, and what has no room goes into another line."""
    for control in controls:
        control.layout.width = "auto"
        if isinstance(control, _AS_WIDE_AS_ITS_TEXT):
            control.layout.margin = "2px 12px 2px 4px"
        else:
            control.layout.flex = "1 1 220px"
            control.layout.max_width = "360px"
    return ipywidgets.HBox(controls, layout={"flex_flow": "row wrap", "align_items": "center"})
