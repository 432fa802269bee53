"""Signing in: a person shows by an OpenID provider who they are, and their command line gets a token.

Nothing is kept of a sign-in that is under way: what has to be known later goes along with the browser, under a seal
(`sealing`). So no number of started sign-ins fills anything, and one outlives the gateway's restart.

`provider` asks the OpenID provider, `id_tokens` checks what it says of a person, `membership` finds that person here,
`pages` are what a browser shows. The libraries for it are loaded by the first sign-in.
"""
