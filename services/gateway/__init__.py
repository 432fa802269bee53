"""The gateway: HTTP for people and agents.

Writes alone: directives by a person (status, goal), plan requests of a person, steps added and removed, cancel asked.
Consumes: every event, for the clients of its live stream. Emits: directive.created, directive.changed, plan.requested,
step.added, step.removed, step.ready, task.changed.
"""
