"""Delivery on the daemon: merge natively, prove that nothing was dropped, check, push, see to the pull request.

checking: the repository's check, and which steps break it. scripts: a command line of the repository's. remote: the
branches, and what the base holds. proposing: the pull request. watching: how that stands, and the clean-up. delivering:
all of it in order. The merging itself is in services.daemon.git.
"""
