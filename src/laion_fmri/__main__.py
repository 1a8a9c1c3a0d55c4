"""``python -m laion_fmri``: the ``laion-fmri`` command."""

import sys

from laion_fmri.cli.main import main

sys.exit(main())
