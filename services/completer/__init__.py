"""The completer: idle directives -> a delivered branch.

Writes alone: the insertion of completion tasks; pr_branch, delivered, completed.
Consumes: directive.changed, task.changed. Emits: task.created, delivery.finished, directive.changed.
"""
