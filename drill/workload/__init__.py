"""What users do while a migration runs: seeded clients in closed loops, each call on record."""
