"""Run the `rankiqa` command as `python -m rankiqa`."""

import sys

from rankiqa.cli import main

sys.exit(main())
