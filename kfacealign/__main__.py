"""`python -m kfacealign`: the same as the `kfacealign` command."""

import sys

from kfacealign.cli import main

sys.exit(main())
