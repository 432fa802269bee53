"""The gateway: what people and agents ask for over HTTP -> rows, and what they want to know from rows.

Writes: directives by a person (status, goal, policies), plan requests (goal), steps (add, remove, skip, retry), and the
wish to cancel a task. What it promises over HTTP stands in a row before it answers.
Consumes: every event, only to wake whoever waits for one. Emits: directive.created, directive.changed, plan.requested,
step.added, step.removed, step.ready, step.changed, task.changed.
"""
