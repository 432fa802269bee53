"""What makima is measured beside: each peer does W1 to W4 in a module of its own, in an environment of its own.

A peer's module needs its library and the standard library alone. `bench.systems` starts it with .venv/peers/bin/python
and talks to it in lines of JSON (`bench.peers.work`).
"""
