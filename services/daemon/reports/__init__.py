"""What the daemon tells the others: kept in a journal until it is acknowledged, sent over one connection."""
