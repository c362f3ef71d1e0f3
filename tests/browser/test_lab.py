"""What a researcher sees in JupyterLab is there, and is true."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page

from tests.browser.lab import ROOT, WIDTH, Lab, plot_in, run_all, show_whole, to_top, until
from vectra_analytics import EventStoreQuery

NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
REDRAWN_WITHIN = 20  # seconds; a busy machine must not fail the test, only a figure that never comes

# Of the figure, each time it has been drawn: when, and what the line `price` then was. And when a key was last pressed.
WATCH = """gd => {
    window.drawn = [];
    window.addEventListener("keydown", () => { window.pressed = performance.now(); }, true);  // before anyone stops it
    gd.on("plotly_afterplot", () => {
        const line = gd._fullData.find(trace => trace.name === "price");
        const y = line ? Array.from(line.y) : [];
        window.drawn.push({at: performance.now(), n: y.length, sum: y.reduce((a, b) => a + b, 0)});
    });
}"""
LINE = """gd => {
    const line = gd._fullData.find(trace => trace.name === "price");
    return {x: Array.from(line.x), y: Array.from(line.y)};
}"""


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_cell_of_a_notebook_runs_in_the_browser(name: str, page: Page, lab: Lab, artefacts: Path) -> None:
    """Run All Cells ends, no cell shows an error, and every widget and figure is drawn."""
    cells = run_all(page, lab, name)
    show_whole(page)
    page.screenshot(path=artefacts / f"{Path(name).stem}.png")

    errors = [output for cell in cells for output in cell["outputs"] if output["output_type"] == "error"]
    assert not errors, errors[0]["evalue"]
    assert all(cell["execution_count"] for cell in cells if cell["source"])
    assert page.get_by_text("Error displaying widget").count() == 0
    assert page.get_by_text("Error creating widget").count() == 0
    n_shown = sum(
        "application/vnd.plotly.v1+json" in output.get("data", {}) for cell in cells for output in cell["outputs"]
    )
    assert page.locator(".js-plotly-plot .main-svg").count() >= n_shown


def shows(figure: Locator, game_id: str, samples: EventStoreQuery) -> None:
    """The figure's line of prices is the library's, value by value."""
    rows = samples.features(games=[game_id])
    line: dict[str, list[Any]] = figure.evaluate(LINE)

    assert line["x"] == rows["tick"].to_list()
    assert line["y"] == rows["price"].to_list()


def wait_until_drawn(page: Page, game_id: str, samples: EventStoreQuery) -> float:
    """Milliseconds from the last key to the first drawing with the prices of this game."""
    prices = samples.features(games=[game_id])["price"]
    found = until(
        page,
        """([n, sum]) => {
            const now = window.drawn.find(
                one => one.at > window.pressed && one.n === n && Math.abs(one.sum - sum) < 1e-6);
            return now && now.at - window.pressed;
        }""",
        [prices.len(), prices.sum()],
        REDRAWN_WITHIN,
    )
    return float(found)


def test_a_game_is_chosen_by_keyboard(page: Page, lab: Lab, samples: EventStoreQuery, artefacts: Path) -> None:
    """Arrow down in the list of games, and Enter on Next, draw the prices of the next games in the list."""
    run_all(page, lab, "01_episode_exploration.ipynb")
    page.set_viewport_size({"width": WIDTH, "height": 1800})  # high enough for the list and the figure
    to_top(page)
    ranked = samples.games().filter("is_complete").sort("peak_price", "game_id", descending=[True, False])
    games = ranked["game_id"].to_list()
    listbox = page.get_by_role("listbox", name="Games")
    listbox.scroll_into_view_if_needed()
    page.screenshot(path=artefacts / "explorer_at_first.png")
    figure = plot_in(page, listbox)
    shows(figure, games[0], samples)
    figure.evaluate(WATCH)

    listbox.focus()
    times = []
    for place in range(1, 6):
        page.keyboard.press("ArrowDown")
        times.append(wait_until_drawn(page, games[place], samples))
        shows(figure, games[place], samples)

    for place in range(6, 9):
        for _ in range(4):
            if "Next" in str(page.evaluate("document.activeElement.innerText")):
                break
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        times.append(wait_until_drawn(page, games[place], samples))
        shows(figure, games[place], samples)

    page.screenshot(path=artefacts / "explorer.png")
    print(f"\nfrom key to drawn figure, ms: {', '.join(f'{time:.0f}' for time in times)}")
