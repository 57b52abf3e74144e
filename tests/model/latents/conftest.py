"""Makes `two_groups` importable under the name that the registry and model files know."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
