"""The daemon: runs tasks on one machine, each attempt in a git worktree of its own.

It takes the broker's commands over one DEALER socket, and for each attempt makes a workspace, runs the agent in it,
commits what is left over, pushes the branch and says how it ended. It writes no row: it keeps repositories, worktrees
and a journal of unacknowledged reports under `{home}/daemons/{name}`, so that a kill loses nothing.

Consumes: SpawnTask, CancelTask, TellTask, Drain; Ack, NotYours, Identify.
Emits: Hello, Heartbeat, Goodbye, and every report (TaskAccepted, TaskStarted, TaskUsage, OutputBatch,
MessageDelivered, TaskSucceeded, TaskFailed, TaskInterrupted).
"""
