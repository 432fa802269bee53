"""One attempt's programs: started, read, watched and ended; what follows; and what of their output is kept."""
