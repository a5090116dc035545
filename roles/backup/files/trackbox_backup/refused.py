"""What ends a backup or a restore: a sentence for the person who reads it."""


class Refused(Exception):  # noqa: N818 - it is an answer
    """Nothing more can be done; the text says why, and what would help."""
