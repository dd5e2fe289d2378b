"""Everything that learns, judges or looks back: makes appraisers and hands them to the registry."""

import os

# Before numpy is loaded: matrices are small, and threads that wait for each other make a fit ten times slower on a busy
# machine (DECISIONS 14). Whoever set a number keeps it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
