"""What is left of a user whose state was erased: asking for it, what the topics still hold, and until when."""
