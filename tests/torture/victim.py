"""A pull in a process of its own, to be killed. Prints what it says of itself as JSON.

Arguments: platform, address, store, and options as JSON: `full_since`, and settings of the adapter.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.torture.account import run

if __name__ == "__main__":
    platform, url, store, options = sys.argv[1:]
    told = run(platform, url, store, **json.loads(options))
    print(json.dumps([told.streams, told.error], default=str))
