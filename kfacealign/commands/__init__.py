"""What the commands of `kfacealign` do, one module a command: `run(arguments)` returns the exit status."""


def align_options(arguments):
    """What the command line adds to a model's `align`.

    Raises:
        ValueError: `--flip` for an exported model.
    """
    if not arguments.flip:
        return {}
    if not arguments.model.endswith(".keras"):
        raise ValueError(
            f"{arguments.model}: whether an exported model averages with the mirrored crop is chosen by export --flip"
        )
    return {"flip": True}
