"""The planner: why planning is due -> a plan task with its prompt.

Writes alone: the insertion of plan tasks, and which task serves a plan request.
Consumes: plan.requested, directive.created, directive.changed, plan.finished, task.changed. Emits: task.created.
"""
