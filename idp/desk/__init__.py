"""The desk: what IT contacts, helpdesks and administrators do for others, each act asked of policies/acts.py and recorded."""
