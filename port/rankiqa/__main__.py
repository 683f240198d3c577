"""`python -m rankiqa`, the same as the command `rankiqa`."""

import sys

from rankiqa.cli import main

sys.exit(main())
