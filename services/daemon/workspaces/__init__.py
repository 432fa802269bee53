"""Where attempts work: the daemon's copies of repositories, a workspace an attempt, and what the agent left there."""
