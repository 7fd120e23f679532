"""What a step frees, the next one asks for again: it need not go back to the system in between.

Imports nothing that takes memory itself.
"""

import ctypes

# Option numbers of malloc.h. Blocks of up to LARGEST bytes come from the heap, whose end is kept when so many
# bytes there are free. glibc before 2.35 takes 32 MiB at most for the former.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT = 1 << 30
LARGEST = (1 << 30, 1 << 25)


def keep() -> None:
    """Have the C library keep what is freed, up to 1 GiB, for the next time.

    Of itself glibc hands arrays of some megabytes back, and the system clears them anew, page by page: with
    AVX2 that took a seventh of observation (docs/experiments.md). Other C libraries stay as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # Setting the trim threshold alone would switch off glibc's own adjustment of the mmap threshold.
    if mallopt and any(mallopt(M_MMAP_THRESHOLD, size) for size in LARGEST):
        mallopt(M_TRIM_THRESHOLD, KEPT)
