"""What people and programs read: tables, JSON, CSV. Percent signs and rounding live here."""
