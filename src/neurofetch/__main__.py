"""``python -m neurofetch``: the ``neurofetch`` command."""

import sys

from neurofetch._cli import main

sys.exit(main())
