"""What the gateway takes and answers, as its clients see it too. Times are UTC, ids UUIDs, costs in US dollars."""
