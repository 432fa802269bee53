"""What is written from the code's own declarations: golden bytes, and the documents on messages and state machines."""
