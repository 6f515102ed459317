"""The Shared Signals transmitter (OpenID Shared Signals Framework 1.0): streams that applications manage themselves, and how each is told."""
