"""The `kfacealign` command, one module for each of its commands.

In each module `add_arguments(parser)` declares what the command accepts, and `run(arguments)` does it and returns the exit
status. Modules import at their top only what is light; Keras and the like are imported in `run`, so that `--help` is quick.
"""
