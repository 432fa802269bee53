"""The broker: every socket that is bound.

It proxies events, routes commands to connected daemons, hands reports to monitors and their acknowledgements back,
and knows which daemons are present. It writes no row and keeps nothing that matters: restart it at any time.

Consumes: SpawnTask, CancelTask, TellTask, Drain; every report. Emits: daemon.connected, daemon.lost, task.output.
"""
