"""Let MLflow's encrypted secrets be read with a new passphrase.

rewrap.py URI < TWO LINES: the old passphrase, and the new one. Prints how many it changed.

`mlflow crypto rotate-kek` takes passphrases on its command line, which every user can read, counts a version that the
server has to be told for ever, and cannot go on after an interruption. This leaves the version as it is, and passes
over what is done already.
"""

import os
import sys

from cryptography.exceptions import InvalidTag
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.dbmodels.models import SqlGatewaySecret
from mlflow.utils.crypto import KEKManager, rotate_secret_encryption, unwrap_dek
from sqlalchemy import create_engine
from sqlalchemy.orm import Session


def main() -> None:
    """Change all of them in one transaction."""
    old, new = (line.strip() for line in sys.stdin.readlines()[:2])
    version = int(os.environ.get("MLFLOW_CRYPTO_KEK_VERSION", "1"))
    managers = [KEKManager(passphrase=passphrase, kek_version=version) for passphrase in (old, new)]
    changed = 0
    with Session(create_engine(sys.argv[1])) as session, session.begin():
        for secret in session.query(SqlGatewaySecret).with_for_update():
            try:
                unwrap_dek(secret.wrapped_dek, managers[1].get_kek())
            except (InvalidTag, MlflowException):
                rotated = rotate_secret_encryption(secret.encrypted_value, secret.wrapped_dek, *managers)
                secret.wrapped_dek = rotated.wrapped_dek
                changed += 1
    print(changed)


main()
