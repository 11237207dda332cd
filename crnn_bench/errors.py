"""The one exception that a user is meant to read, and the others in words."""

import traceback


class BenchError(Exception):
    """A mistake or a fault outside the code; its one line names the culprit and the remedy.

    The command line prints it without a traceback and ends with exit code 2.

    Attributes:
        argument: the constructor's argument that is at fault, where one is.
    """

    def __init__(self, message: str, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument


def in_words(error: BaseException) -> str:
    """What an exception says, after its kind if nobody foresaw it; also of one that cannot say anything itself."""
    said = str(traceback.TracebackException.from_exception(error))
    return said if isinstance(error, BenchError) else f"{type(error).__name__}: {said}".removesuffix(": ")
