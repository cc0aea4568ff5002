"""Decision -> bytes -> network: what is said becomes a mail, and the mail goes to a relay."""
