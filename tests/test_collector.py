"""The garbage collector stands aside at the start and the end of a process, and only there."""

import contextlib
import gc
import subprocess
import sys

from crnn_bench import collector


def test_it_is_back_whatever_happens() -> None:
    with contextlib.suppress(ImportError), collector.paused():
        assert not gc.isenabled()
        raise ImportError
    assert gc.isenabled()


def test_a_process_ends_without_looking_at_what_it_has() -> None:
    words = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count(), len(gc.get_objects())))\n"
    words += "from crnn_bench import collector; collector.spare_the_end(); assert gc.get_freeze_count() == 0"
    told = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True).stdout
    frozen, left = map(int, told.split())
    assert frozen > 1000
    assert left < 100
