"""Makes `training`, which the processes of these tests share with them, importable."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
