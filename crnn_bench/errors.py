"""The one exception that a user is meant to read."""


class BenchError(Exception):
    """A mistake or a fault outside the code; its one line names the culprit and the remedy.

    The command line prints it without a traceback and ends with exit code 2.

    Attributes:
        argument: the constructor's argument that is at fault, where one is.
    """

    def __init__(self, message: str, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument
