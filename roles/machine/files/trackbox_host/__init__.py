"""Code that Trackbox's own programs on a machine share: the machine's lock, and the status of jobs for monitoring."""
