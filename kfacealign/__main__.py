"""`python -m kfacealign`: the same as the `kfacealign` command."""

import sys

from kfacealign.cli.main import main

sys.exit(main())
