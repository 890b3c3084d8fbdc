"""The one exception that the command line turns into a message. It knows no exit codes and prints nothing."""


class TechError(Exception):
    """What went wrong and what to do about it, in words for whoever ran the script."""
