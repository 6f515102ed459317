"""What we remember: lasting things in SQL, passing things in the ephemeral store. The only room that writes SQL."""
