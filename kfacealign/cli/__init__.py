"""The `kfacealign` command, one module a command: `add_arguments(parser)` says what it accepts, `run(arguments)` does it."""
