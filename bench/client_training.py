"""Run training procedures alternately on the machine; print the seconds and peak memory of each process as JSON.

Standard input is a JSON object with these keys:

files         maps file names to texts, which are written to a folder
procedures    maps a name to a command, with FOLDER instead of the folder of these files and transactions.csv
first         a command that is run before the measurement
rounds        number of rounds
environment   environment variables of the commands
ca            certificate (text) of the object store's CA

The output maps each procedure to a list of [seconds, peak memory in MB], one pair for each round.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3
from fraud.data import synthetic


def run(command, environment, folder):
    """Run a command; return its seconds and its peak memory in MB. Raises RuntimeError if the command fails."""
    command = [word.replace("FOLDER", str(folder)) for word in command]
    with tempfile.TemporaryFile() as out:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            out.seek(0)
            raise RuntimeError(f"{command}: {out.read().decode()[-2000:]}")
    return seconds, usage.ru_maxrss / 1024


def main():
    """Measure the procedures alternately: each one once in each round."""
    s = json.load(sys.stdin)
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/var/tmp") as temporary:
        folder = Path(temporary)
        for name, text in {**s["files"], "ca.crt": s["ca"]}.items():
            (folder / name).write_text(text)
        environment = os.environ | s["environment"] | {"AWS_CA_BUNDLE": str(folder / "ca.crt"), "HOME": temporary}
        os.environ.update(environment)
        boto3.client("s3").create_bucket(Bucket=environment["FRAUD_BUCKET"])
        synthetic.generate().to_csv(folder / "transactions.csv", index=False)
        run(s["first"], environment, folder)
        found = {name: [] for name in s["procedures"]}
        for number in range(s["rounds"]):
            for name in list(found)[:: 1 if number % 2 else -1]:
                found[name].append(run(s["procedures"][name], environment, folder))
    print(json.dumps(found))


main()
