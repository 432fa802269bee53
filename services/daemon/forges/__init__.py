"""Forges, as the daemon speaks to them with its own credentials: one module a kind, behind one small protocol."""
