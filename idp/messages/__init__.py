"""Reaching people by SMS and mail: what is said, the queue it waits in, and the sender that `vestibule work` runs."""
