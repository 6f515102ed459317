"""Connectors talk to directories and upstream providers; they import nothing of idp or policies."""
