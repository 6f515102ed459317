"""Any OpenID Provider as an upstream connector, Pro Santé Connect among them; provider.py is its face, settings.py what an operator writes."""
