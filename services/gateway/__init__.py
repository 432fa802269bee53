"""The gateway: HTTP for people and agents.

Writes alone: directives by a person (status, goal), plan requests of a person, steps added and removed, cancel asked.
Consumes: nothing yet. Emits: directive.created, directive.changed, plan.requested, step.added, step.removed,
step.ready, task.changed.
"""
