"""What Trackbox's own programs on a machine share: the lock of the machine, and a job's status for monitoring."""
