"""What a fault is."""

# Kind -> what happened, for the table and for the notes beside a minimal file.
KINDS = {
    "exception": "an exception that is neither ValueError nor OSError",
    "unnamed": "a refusal that does not name the file",
    "death": "the process died",
    "time": "more than the time allowed",
    "memory": "more than the memory allowed",
    "values": "landmarks or boxes were accepted that are not finite or far off, or something else that cannot be right",
    "canary": "the file executed something, changed a setting, or made a file where none was to be written",
    "replaced": "a file of the user's, or a result of another photograph, was replaced",
    "sound": "the sound input is not read as it should be, so that the target cannot be attacked",
    "trusted": "a program was loaded without trust",
}


class Unsound(Exception):
    """A target's sound input is not what it should be."""


class Found(Exception):
    """A fault that a call found itself: its kind and what happened."""
