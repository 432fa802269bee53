"""The executor: ready steps -> tasks -> commands. It alone dispatches, whoever made the task.

Writes alone: the insertion of step tasks, and a task's way from pending to starting and, when unroutable, back.
Consumes: step.ready, task.created, task.changed, directive.changed, slots.free, daemon.connected; Unroutable.
Emits: task.created, task.changed. Sends: SpawnTask, CancelTask.
"""
