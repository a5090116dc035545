"""What can go wrong, each as one sentence with a remedy and an exit code of its own.

Exit codes of the command `fraud` (2 is click's, for a wrong option):

====  ==========================================================
   0  done
   1  an error of the program itself (`--debug` shows the traceback)
   2  wrong usage
   3  the data: missing, unreadable or not what the schema says
   4  a server: not reached, refused the password, out of order
   5  the registry lacks what was asked for, for example a champion
   6  `fraud promote`: the challenger does not beat the champion
   7  the result could not be written
 130  interrupted with Ctrl-C (143: ended by SIGTERM)
====  ==========================================================
"""


class FraudError(Exception):
    """A problem and its remedy, for the person at the screen."""

    code = 1

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem.rstrip('.')}. {remedy}")
        self.problem = problem
        self.remedy = remedy


class DataError(FraudError):
    """The data are missing, unreadable or not what the schema says."""

    code = 3


class ServiceError(FraudError):
    """A server was not reached, refused the login or is out of order."""

    code = 4


class RegistryError(FraudError):
    """The model registry lacks what was asked for."""

    code = 5


class NotBetterError(FraudError):
    """The challenger does not beat the champion."""

    code = 6


class OutputError(FraudError):
    """A result could not be written."""

    code = 7


class Terminated(KeyboardInterrupt):
    """SIGTERM came: the same clean-up as after Ctrl-C, another exit code."""
