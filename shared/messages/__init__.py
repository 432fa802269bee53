"""Every message that crosses a socket, declared once: events (hints), commands and reports (acknowledged)."""
