"""The one error that a user's input can cause."""


class QweftError(ValueError):
    """Bad input, said in one sentence that names the thing, the value and the way out.

    The command line prints it without a traceback and exits with status 2.
    """
