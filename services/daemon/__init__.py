"""The daemon: runs tasks on one machine, each attempt in a git worktree of its own.

Writes no row; it keeps repositories, worktrees and a journal of unacknowledged reports under its folder.
Consumes: SpawnTask, CancelTask; Ack, NotYours, Identify. Sends: Hello, Heartbeat, Goodbye and every report.
"""
