"""The monitor: reports -> task and step outcomes, and the DAG moves on.

Writes alone: every task transition but the executor's, attempts, output, leases; steps running, completed, failed,
ready; directives idle (and paused by failure); plan requests of reason failure; daemons' rows.
Consumes: reports; directive.changed, step.added, task.changed. Emits: see EMITS in service.py.
"""
