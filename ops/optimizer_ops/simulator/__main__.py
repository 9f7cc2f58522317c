"""`python -m optimizer_ops.simulator`."""

import sys

from optimizer_ops.simulator.command import main

sys.exit(main())
