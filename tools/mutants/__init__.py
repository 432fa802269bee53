"""`just mutants`: small changes to rules and statements, one at a time, and whether the nearest tests notice each."""
