"""Install Trackbox's Python packages: program.py FOLDER MARK. Standard input: JSON with each module's text by its path.

FOLDER is replaced as a whole, so that no module of an earlier version stays. The program also writes the bytecode,
because the services may not write to FOLDER. The empty file MARK in FOLDER shows that the installation is complete.
"""

import compileall
import json
import os
import shutil
import sys
from pathlib import Path

os.umask(0o022)
folder = Path(sys.argv[1])
new = folder.with_name(f"{folder.name}.new")
shutil.rmtree(new, ignore_errors=True)
for name, text in json.load(sys.stdin).items():
    path = new / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
compileall.compile_dir(new, quiet=1, stripdir=new, prependdir=folder)
(new / sys.argv[2]).touch()
shutil.rmtree(folder, ignore_errors=True)
new.rename(folder)
