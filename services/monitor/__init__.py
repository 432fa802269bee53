"""The monitor: reports -> task and step outcomes, and the DAG moves on.

Writes alone: every task transition but the executor's, attempts, output, leases; steps running, completed, failed,
ready; directives idle, waiting for approval, and paused by failure, budget or a dead end; plan requests of reason
failure; plans in force and withdrawn; orders as their steps stand; questions that ran out of time; daemons' rows.
Consumes: reports; directive.changed, step.added, task.changed, question.asked, question.answered.
Emits: see EMITS in service.py.
"""
