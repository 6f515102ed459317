"""The console (/admin): pages of administrators, contacts and helpdesks. `routes.py` is the one table of what each page needs."""
