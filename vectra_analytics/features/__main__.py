"""``python -m vectra_analytics.features docs/views.md``: write the catalogue into the page, between its marks."""

import sys
from pathlib import Path

from vectra_analytics.features import catalogue
from vectra_analytics.features.page import BEGIN, END, catalogue_text

page = Path(sys.argv[1])
before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
_, _, after = rest.partition(END)
page.write_text(f"{before}{BEGIN}\n{catalogue_text(catalogue())}{END}{after}", encoding="utf-8")
