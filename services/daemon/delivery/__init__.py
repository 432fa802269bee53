"""Delivery on the daemon: merge natively, prove that nothing was dropped, check, push, see to the pull request.

merging: commits out of branches, without a worktree. proof: that the result holds every step. resolving: a merge that
stopped, in a worktree, with recorded resolutions or an agent. checking: the repository's check, and which steps break
it. pushing: to the remote, never by force. proposing: the pull request. delivering: all of it in order.
"""
