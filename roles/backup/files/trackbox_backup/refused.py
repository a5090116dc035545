"""The exception that ends a backup or a restore with a message for the administrator."""


class Refused(Exception):  # noqa: N818 - a refusal is an expected result, not an error
    """The backup or restore cannot continue. The message contains the cause and the remedy."""


class Inconclusive(Refused):
    """The cause says nothing about the backup, so a restore test that it ends has no result."""
