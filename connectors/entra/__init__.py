"""Microsoft Entra ID (Office 365) as an upstream connector; provider.py is its face, settings.py what an operator writes."""
