"""``python -m oxytomo`` is the same as ``oxytomo``."""

import sys

from oxytomo.cli import main
from oxytomo.run.stage_client import run_in_server

if __name__ == "__main__":
    code = run_in_server(sys.argv[1:]) if sys.argv[1:2] == ["stage"] else None
    sys.exit(main() if code is None else code)
