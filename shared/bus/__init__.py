"""ZeroMQ: publishing and subscribing to events, and the acknowledged channels. Each socket has one receiving task."""
