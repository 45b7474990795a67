"""What an RFC defines and Sendonce does not: addresses, messages, SMTP."""
