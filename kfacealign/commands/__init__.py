"""What the commands of `kfacealign` do, one module a command: `run(arguments)` returns the exit status."""
