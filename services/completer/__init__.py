"""The completer: idle directives -> a delivered branch, its pull request, and the end of both.

It orders deliveries, verifications and looks at pull requests as tasks that a daemon carries out natively, and draws
what follows from what came of them: completed, paused with the reason, an agent for a conflict, a step that fixes.
Writes alone: the insertion of completion and verification tasks, and that they are settled; pr_branch, pr_url and all
else about the pull request, delivered, completed; the steps that fix a check which fails on the merged result.
Consumes: directive.changed, task.changed.
Emits: task.created, delivery.finished, directive.changed, step.added, step.ready.
"""
