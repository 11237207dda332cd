"""`python -m crnn_bench` is `crnn-bench`."""

import sys

from crnn_bench.cli import main

sys.exit(main())
