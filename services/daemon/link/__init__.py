"""What a daemon has besides where its cluster is on another machine: how it joins, its agents' requests, its keys."""
