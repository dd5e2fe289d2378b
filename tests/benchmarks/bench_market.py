"""Time and memory of inventing markets: a million sales in 60 s and 4 GiB on two cores; four million in hardly more."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import resource, sys
from pathlib import Path
from training.simulator import market
market.write(sales=int(sys.argv[1]), seed=1, directory=Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def invented(sales: int, folder: Path) -> tuple[float, float]:
    """Seconds and peak GiB of a process of its own that writes a market of this size."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(sales), str(folder)], capture_output=True, text=True, check=True
    )
    return time.perf_counter() - start, float(done.stdout)


@pytest.mark.bench
def test_a_million_sales_take_a_minute_at_most_and_four_million_no_more_memory(tmp_path: Path) -> None:
    found = {sales: invented(sales, tmp_path / str(sales)) for sales in (1_000_000, 4_000_000)}
    for sales, (seconds, gib) in found.items():
        print(f"\n{sales:,} sales with quotes, listings and truth: {seconds:.1f} s, peak {gib:.2f} GiB")
    (seconds, gib), (_, later_gib) = found.values()
    assert seconds < 60 and gib < 4
    assert later_gib < 1.25 * gib
