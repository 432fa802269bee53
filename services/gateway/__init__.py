"""The gateway: HTTP for people and agents.

Writes alone: directives by a person (status, goal), plan requests of a person, steps added and removed, cancel asked,
keys of daemons on other machines.
Consumes: every event, for the clients of its live stream. Emits: directive.created, directive.changed, plan.requested,
step.added, step.removed, step.ready, task.changed, daemon.key_changed.

A request enters by `http` and `access`, and is served by a module of `routes`. A change is one of `transactions`,
with the rules of `effects` and `batches`; what it is answered is of `shared.api`. `rows` holds every statement. `feed`
follows the audit log for the live stream. `link` is the gateway's side of the link to daemons on other machines.
"""
