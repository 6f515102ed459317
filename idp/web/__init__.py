"""HTTP in, HTTP out: pages, the machine endpoints, and what they share. No SQL, no rules."""
