"""Makes what is in tools/ importable."""

from __future__ import annotations

import sys

from support.program import ROOT

sys.path.append(str(ROOT / "tools"))
