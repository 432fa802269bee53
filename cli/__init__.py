"""The `makima` command: thin verbs over the gateway's HTTP. Imports little, since people and agents wait for it."""
