"""The errors of the command `fraud`: each has a problem, a remedy and an exit code.

Exit codes (click itself returns 2):

====  ==========================================================
   0  success
   1  an error of the program itself (`--debug` shows the traceback)
   2  wrong usage
   3  the data are missing, unreadable or do not match the schema
   4  a server was not reached, refused the password or failed
   5  the model registry has no such version, for example no champion
   6  `fraud promote`: the challenger does not beat the champion
   7  a result could not be written
   8  `--wait`: the version is not served, and the error says why
 130  interrupted with Ctrl-C (143: ended by SIGTERM)
====  ==========================================================
"""


class FraudError(Exception):
    """An error with a remedy.

    Args:
        problem: one sentence, with or without a full stop.
        remedy: one sentence that tells the user what to do.

    """

    code = 1

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem.rstrip('.')}. {remedy}")
        self.problem = problem
        self.remedy = remedy


class DataError(FraudError):
    """The data are missing, unreadable or do not match the schema."""

    code = 3


class ServiceError(FraudError):
    """A server was not reached, refused the password or failed."""

    code = 4


class RegistryError(FraudError):
    """The model registry has no such comparison, model or version."""

    code = 5


class NotBetterError(FraudError):
    """The challenger does not beat the champion."""

    code = 6


class OutputError(FraudError):
    """A result could not be written."""

    code = 7


class NotServedError(FraudError):
    """The endpoint does not serve the version."""

    code = 8


class Terminated(KeyboardInterrupt):
    """The process received SIGTERM: it cleans up as after Ctrl-C, and exits with code 143."""
