"""The frame that every service runs in: start, be woken by events, sweep, survive errors, stop."""
