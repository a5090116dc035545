"""The request log: a row for each scored row, in Parquet files that the follower uploads and deletes.

Rows wait in a queue, and a thread of each process writes them, so no request waits for the disk. The thread writes a
file every minute, or as soon as 10,000 rows wait. It renames the file only after fsync, so a visible file is complete.

Rows may be lost if a process is killed (`kill -9`, out of memory) or the machine loses power: the rows since the
process closed its last file (one minute or 10,000 rows at most), and those in the queue (`log_queue`). A stop with
SIGTERM loses nothing. No row is written twice.

Labels, which clients may send weeks later, are written in the same way into their own files. A client gets the response
when its labels are on the disk, so a killed process loses no accepted label.
"""
