"""Programs that are not of this package. Below the sanitizers of the suite some would not start, and some not end."""

from __future__ import annotations

import os

ENVIRON = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
