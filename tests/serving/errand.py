"""One errand of a courier, in a process that is killed at a step: `errand.py FOLDER VERSION=DIRECTORY STEP`.

A step is whatever Python does in the folder: it opens, lists, makes, renames or removes something, or starts a trial.
Step 0 is never reached; at the end the number of steps is printed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.modules.update(pandas=None, sklearn=None)  # type: ignore[arg-type] # LightGBM takes them along, and seconds

from serving.courier import Courier  # noqa: E402
from tests.serving.copies import Registry  # noqa: E402


def main(folder: str, told: str, step: int) -> None:
    """Deliver a directory as a version."""
    version, _, directory = told.partition("=")
    registry, steps, own = Registry(), 0, os.getpid()
    registry.register(version, Path(directory))
    courier = Courier(client=registry, folder=Path(folder))  # type: ignore[arg-type]

    def count(event: str, args: tuple[object, ...]) -> None:
        nonlocal steps
        if os.getpid() == own and (event in ("fcntl.flock", "subprocess.Popen") or folder in str(args[:2])):
            steps += 1
            if steps == step:
                os.kill(own, signal.SIGKILL)

    sys.addaudithook(count)
    courier.deliver()
    print(steps)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
