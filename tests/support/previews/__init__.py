"""Pages to look at, a module for each room of the console; tests/support/preview_pages.py lists them all."""
