"""What runs a task: an adapter a kind of agent, each one file, and what all of them share.

An adapter says how to start its agent (argv, environment, standard input), reads its lines into events, and says how
to resume and to tell it something. Processes, watchdogs and output are the daemon's; an adapter touches none of them.
"""
