"""Make the sample recordings: ``python -m vectra_analytics.simulator data_samples``."""

import argparse
from pathlib import Path

from vectra_analytics.simulator.folder import write_samples


def main() -> None:
    """Write the samples into the folder given."""
    parser = argparse.ArgumentParser(prog="python -m vectra_analytics.simulator", description=write_samples.__doc__)
    parser.add_argument("folder", type=Path, help="made if need be; files of the same names are overwritten")
    folder: Path = parser.parse_args().folder
    print(f"{len(write_samples(folder))} files written into {folder}")


if __name__ == "__main__":
    main()
