"""``python -m laion_fmri``: the ``laion-fmri`` command."""

import sys

from laion_fmri._cli import main

sys.exit(main())
