"""The one exception that a user is meant to read."""


class BenchError(Exception):
    """A mistake or a fault outside the code; its one line names the culprit and the remedy.

    The command line prints it without a traceback and ends with exit code 2.
    """
