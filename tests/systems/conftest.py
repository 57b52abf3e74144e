"""Makes the modules of this folder importable by its tests, which simulate other systems on Linux."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
if sys.platform != "linux":
    collect_ignore = ["test_systems.py"]
