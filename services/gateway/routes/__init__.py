"""The HTTP interface, a module a resource. None imports another."""
