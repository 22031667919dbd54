"""What the tools share: narrator/ and tests/ made importable, and a command line that is read in
one way. Import it before those."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.extend(str(Path(__file__).resolve().parents[1] / part) for part in (".", "tests"))


def read_options(doc: str | None, *paths: str, **defaults: object) -> argparse.Namespace:
    """What a tool was started with. doc: printed by --help. paths: what has to be given.
    defaults: of its options; one that is False is a switch."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in paths:
        parser.add_argument(name, type=Path)
    for name, default in defaults.items():
        option = f"--{name.replace('_', '-')}"
        if default is False:
            parser.add_argument(option, action="store_true")
        else:
            parser.add_argument(
                option, type=type(default), default=default, help="(default: %(default)s)"
            )
    return parser.parse_args()
