"""What HTTP itself takes: sockets, connections, requests, and errors as problem details."""
