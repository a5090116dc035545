"""watermark.py FOLDER RESERVE FLAG: create the file FLAG while the disk of FOLDER has less than RESERVE free.

RESERVE is a number of bytes, or a share of the disk such as 5%. NGINX refuses uploads to S3 while FLAG exists.
"""

import os
import sys
import time
from pathlib import Path

folder, reserve, flag = sys.argv[1], sys.argv[2], Path(sys.argv[3])
while True:
    if Path(folder).is_dir():  # the folder is missing while an admin moves it
        disk = os.statvfs(folder)
        wanted = disk.f_blocks * float(reserve[:-1]) / 100 if reserve.endswith("%") else float(reserve) / disk.f_frsize
        if disk.f_bavail < wanted:
            flag.touch()
        else:
            flag.unlink(missing_ok=True)
    time.sleep(1)
