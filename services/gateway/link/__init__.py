"""The link to daemons on other machines, from the gateway's side: who may connect, who joins, their agents' requests.

A key changes under one lock (`enrolling`); what `admitted` writes of it lets the broker in or out whoever shows it.
`joining` answers those who want to be daemons. `streams` carries what agents over there ask to the gateway's own
socket, where it needs a token like anybody's. `calls` is the channel to the broker by which all of it comes.
"""
