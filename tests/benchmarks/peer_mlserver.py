"""MLServer on a port that is told: its own command takes it from a file alone. Runs in .venv-peers."""

from __future__ import annotations

import os
import sys

from mlserver.cli.main import main

if __name__ == "__main__":
    folder, _, port = sys.argv[1:]
    os.environ["MLSERVER_HTTP_PORT"] = port
    sys.argv = ["mlserver", "start", folder]
    main()
