"""The request log: a row for each row that was scored, in Parquet files that the follower uploads and deletes.

Rows wait in a queue, and a thread of each process writes them: no request waits for the disk. A file is written, made
durable and renamed at once, each minute or as soon as 10,000 rows wait. So a file that can be seen is whole.

What may be lost: a process that is killed (`kill -9`, no memory), and a machine that loses its power, lose the rows
that were answered since the process closed its last file, at most a minute's or 10,000 and those in the queue
(`log_queue`). A stop (SIGTERM) loses nothing. No row is written twice.

Labels, which clients send weeks later, go the same way, in files of their own. Their sender is answered when they are
on the disk, so a process that is killed loses none that was accepted.
"""
