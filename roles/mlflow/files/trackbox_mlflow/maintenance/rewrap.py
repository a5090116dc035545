"""Encrypt the keys of MLflow's stored secrets with a new passphrase.

    python -m trackbox_mlflow.maintenance.rewrap URI < TWO LINES: the old passphrase, and the new one

Prints the number of changed secrets. `mlflow crypto rotate-kek` is not used, because it reads passphrases from its
command line, which every user can see. It also increments a version, which the server's settings must then contain, and
it cannot continue after an interruption. This program keeps the version, and skips secrets that already have the new
passphrase.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.dbmodels.models import SqlGatewaySecret
from mlflow.utils.crypto import KEKManager, rotate_secret_encryption, unwrap_dek
from sqlalchemy import create_engine
from sqlalchemy.orm import Session


def rewrap(uri: str, old: str, new: str) -> int:
    """Change all secrets in one transaction; return how many were changed."""
    version = int(os.environ.get("MLFLOW_CRYPTO_KEK_VERSION", "1"))
    old_key, new_key = (KEKManager(passphrase=passphrase, kek_version=version) for passphrase in (old, new))
    changed = 0
    with Session(create_engine(uri)) as session, session.begin():
        for secret in session.query(SqlGatewaySecret).with_for_update():
            try:
                unwrap_dek(secret.wrapped_dek, new_key.get_kek())
            except (InvalidTag, MlflowException):
                rotated = rotate_secret_encryption(secret.encrypted_value, secret.wrapped_dek, old_key, new_key)
                secret.wrapped_dek = rotated.wrapped_dek
                changed += 1
    return changed


def main(arguments: Sequence[str]) -> None:
    """Read the passphrases, and print how many secrets were changed."""
    old, new = (line.strip() for line in sys.stdin.readlines()[:2])
    print(rewrap(arguments[0], old, new))


if __name__ == "__main__":
    main(sys.argv[1:])
